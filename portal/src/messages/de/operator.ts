import type { Messages } from "../en";

export const operator: Messages["operator"] = {
  wall: "Zusagen",
  promises: {
    P1: ["Standardmäßig aus", "Ohne Zustimmung wird keine Aufzeichnung gespeichert."],
    P2: ["Widerruf gilt sofort", "Sobald ein Widerruf beantwortet ist, wird keine Aufzeichnung mehr angenommen."],
    P3: ["An die Region gebunden", "Aufzeichnungen liegen nur in der Region ihrer Freigabe."],
    P4: ["Aufbewahrung", "30 Tage nach dem Geschehen ist nichts mehr gespeichert."],
    P5: ["Löschung", "30 Tage nach einem Widerruf ist von der Freigabe nichts mehr gespeichert."],
    P6: ["Nachweis", "Abgeschlossen heißt: Der Speicher wurde später noch einmal gelesen und war leer."],
    P7: ["Geregelter Zugriff", "Kein Inhalt ohne Rolle, gültige Genehmigung, Zweck und vorher angelegten Eintrag."],
    P8: ["Nichts dringt nach außen", "Inhalte liegen im Speicher der Aufzeichnungen und sonst nirgends."],
    P9: ["Nichts geht verloren", "Jeder Schritt lässt sich wiederholen, und was noch zu tun ist, wird wiedergefunden."],
    P10: ["Zweck", "Um das Produkt zu bauen, zu verbessern oder zu prüfen; nie, um Basismodelle zu trainieren."],
    P11: ["Informiert", "Nichts wird unter einem Text aufgezeichnet, dem niemand beim Kunden zugestimmt hat."],
    P12: ["Abgeleitete Daten", "Was bei der Durchsicht im Dienst aus Aufzeichnungen entsteht, wird mit ihnen gelöscht."],
  },
  partly: {
    P2: "Wird hier nur zum Teil geprüft: die Einrichtung, ohne die es nicht geht.",
    P12: "Bewertungen und Exporte liegen in den Containern der Aufzeichnungen selbst und werden mit diesen gelöscht. Es steht darum so gut wie P4, P5 und P6.",
  },
  unknownPromise: ["Unbekannte Zusage", "Diese Seite kennt sie nicht; sie gilt daher nicht als eingehalten."],
  states: { holds: "Eingehalten", broken: "Nicht eingehalten", unwatched: "Hier nicht überwacht", held: "Damals eingehalten" },
  unwatched: "Der Status sagt nichts dazu.",
  noReason: "Der Status nennt keinen Grund.",
  moreReasons: (count) => `${count} weitere`,

  allHold: (count) => `Alle ${count} überwachten Zusagen sind eingehalten.`,
  allHeld: (count) => `Alle ${count} überwachten Zusagen waren damals eingehalten.`,
  broken: (promises) => `Nicht eingehalten: ${promises}`,
  notAll: "Der Status sagt, dass nicht alles eingehalten ist.",
  nothingKnown: "Noch ist nichts bekannt. Was nicht bekannt ist, gilt nicht als eingehalten.",
  notRefreshed: (at) => `Stand ${at}, seitdem nicht aktualisiert.`,
  oldAdvice: "Was Sie sehen, galt zu diesem Zeitpunkt. Inzwischen kann es anders sein.",
  refreshed: (ago) => `Zuletzt aktualisiert: ${ago}`,
  justNow: "gerade eben",
  asOf: "Stand",
  refresh: "Jetzt aktualisieren",
  refreshing: "Wird aktualisiert",

  seenSince: (at) => `Bei jedem Blick dieses Tabs seit ${at}. Davor hat er nicht hingesehen.`,
  changed: (before, first) => `Seit ${first}. Um ${before} war es noch anders.`,
  evidence: {
    run: (at) => `Gefunden vom Lauf um ${at}.`,
    look: (at) => `Gefunden bei der Prüfung um ${at}.`,
    deadline: (at) => `Die erste Frist endete ${at}.`,
  },
  reasons: {
    overdue: (count) => `Überfällige Löschungen: ${count}.`,
    undone: "Hauptbuch: Ein Widerruf ohne Löschung ist über seine Frist.",
    lost: "Hauptbuch: Ein Widerruf wartet seit mehr als drei Stunden auf seine Löschung.",
    unreadable: "Hauptbuch: Widerrufe oder Löschungen sind nicht lesbar.",
    unreachable: (place) => `${place}: nicht lesbar.`,
    day: (place, day) => `${place}: Der ${day} ist über seine Frist hinaus gespeichert.`,
    never: (place) => `${place}: Ein Job ist noch nicht gelaufen, oder sein Ergebnis ist nicht lesbar.`,
    round: (place) => `${place}: Die erste Runde des Abgleichs ist noch nicht zu Ende.`,
    abandoned: (place) => `${place}: Das Konto ist nicht mehr konfiguriert und nicht leer.`,
    failed: (place, job) => `${place}: Letzter Lauf (${job}) fehlgeschlagen.`,
    idle: (place, job, at) => `${place}: Letzter Lauf (${job}) war um ${at}.`,
    found: (place, count, finding) => `${place}: Der Abgleich hat ${count} × ${finding} gefunden.`,
    setup: (place, property, found) => `${place}: ${property} ist ${found}.`,
    rests: (promises) => `Beruht auf Zusagen, die nicht eingehalten oder nicht bekannt sind: ${promises}.`,
  },
  runbook: "Betriebshandbuch, in docs/operations.md:",

  accounts: "Speicherkonten",
  ledger: "Hauptbuch",
  noAccounts: "Der Status nennt kein Speicherkonto.",
  newEnrollments: "Neue Freigaben",
  accountStates: { open: "offen", closed: "geschlossen: keine mehr" },
  oldestDay: "Ältester gespeicherter Tag",
  limit: (until, days) => `Grenze von ${days} Tagen: ${until}`,
  limitNote:
    "Die Balken zeigen die zugesagte Grenze von 30 Tagen. Eine Bereitstellung kann kürzer eingestellt sein; ob das eingehalten ist, sagt P4.",
  pending: "Ausstehende Löschungen",
  overdue: "Überfällige Löschungen",
  firstDeadline: "Erste Frist",
  unscheduled: "Widerrufe ohne Löschung",
  oldestUnscheduled: "Der älteste davon",
  unreadableOptOuts: "Nicht lesbare Widerrufe",
  unreadableItems: "Nicht lesbare Einträge",
  nothing: "keine",
  notKnown: "nicht bekannt",
  cannotBeRead: "Nicht lesbar",

  runs: "Letzte Läufe",
  jobs: { purge: "Löschlauf", sweep: "Abgleich" },
  jobIn: (job, place) => `${place}: ${job}`,
  neverRan: "noch nicht gelaufen oder nicht lesbar",
  outcomes: {
    done: "Fertig",
    more: "An seiner Grenze angehalten; der nächste Lauf macht weiter",
    failed: "Fehlgeschlagen",
    late: "Läuft nicht",
    unknown: "Unbekanntes Ergebnis",
  },
  ended: "Beendet",
  counts: "Zählwerte",
  postponed: (count) => `Abgelaufene Container, die nicht gelöscht werden konnten: ${count}`,
  retryAt: "Nächster Versuch",

  posture: "Einrichtung der Konten",
  setupHolds: (count) => `Alle ${count} Eigenschaften sind, wie sie sein müssen.`,
  setupBroken: (broken, count) => `${broken} von ${count} Eigenschaften sind nicht, wie sie sein müssen.`,
  neverLooked: "Noch wurde nicht geprüft, oder das Ergebnis ist nicht lesbar.",
  lookedAt: "Geprüft",
  development: "Ein Entwicklungskonto: Seine Replikation wird nicht geprüft.",
  showAll: "Alle Eigenschaften zeigen",
  found: "vorgefunden",
  needed: "nötig",
  setupOutcomes: {
    holds: "Erfüllt",
    broken: "Verletzt",
    unreadable: "Nicht lesbar",
    development: "Hier nicht verlangt",
    unknown: "Unbekannt, gilt als verletzt",
  },
  restsOn: (promises) => `Für ${promises}`,

  overdueList: "Überfällige Löschungen",
  noOverdue: "Keine Löschung ist überfällig.",
  deadline: "Frist",
  tenant: "Mandant",
  enrollment: "Freigabe",
  place: "Ort",
  deletionStatus: "Stand",
  deletionStates: {
    scheduled: "geplant (scheduled): konnte nicht ausgeführt werden",
    purged: "geleert (purged): konnte nicht nachgewiesen werden",
  },
  attempts: "Versuche",
  lastError: "Letzter Fehler",
  notTried: "noch nie versucht",
  shownOf: (shown, count) => `${shown} von ${count} werden gezeigt.`,

  outdated: "Veraltete Zustimmungen",
  noOutdated: "Alle Mandanten, die Daten freigeben, haben dem geltenden Hinweis zugestimmt.",
  agreedTo: "Zugestimmt",
  agreedToNothing: "keinem Hinweis",
  countsUntil: "Gilt bis",
  ranOut: "Abgelaufen: Aufzeichnungen werden abgelehnt",
  stillCounts: "Gilt noch",
  unreadableSettings: (count) => `Nicht lesbare Einstellungen: ${count}`,
  moreThere: "Es gibt weitere. Die API listet alle auf.",

  findings: "Von den Abgleichen gefunden, seit es den Dienst gibt",
  noFindings: "Es wurde noch nie etwas gefunden.",
  findingsNote: "Diese Zahlen sinken nicht, wenn die Ursache behoben ist. Was jetzt nicht stimmt, steht oben.",

  advice: {
    storageSilent: "Das Konto antwortet nicht. Prüfen Sie, ob es läuft und ob seine Firewall die App einlässt.",
    storageRefused:
      "Der Identität fehlt die Berechtigung. Geben Sie ihr die Rolle Storage Blob Data Contributor auf dem Konto, und prüfen Sie die Firewall.",
    storageClock: "In der Regel vergeht es von selbst. Wenn es bleibt, vergleichen Sie die Uhren von App und Konto.",
    storageOther: "Das ist ein Fehlercode von Azure. Schlagen Sie ihn in der Dokumentation von Azure nach.",
    cosmosSilent: "Cosmos DB antwortet nicht. Prüfen Sie, ob es läuft, und das Netz.",
    cosmosRefused:
      "Der Identität fehlt die Berechtigung. Geben Sie ihr die Rolle Cosmos DB Built-in Data Contributor für das ganze Konto, und prüfen Sie die Firewall.",
    cosmosMissing: "Die Datenbank oder ein Container fehlt. Prüfen Sie, ob es das richtige Konto ist und ob es eingerichtet ist.",
    cosmosBusy: "Es sind zu viele Anfragen. Erhöhen Sie den Durchsatz.",
    vault:
      "Der Schlüssel für die Bestätigungen ist nicht verwendbar. Gelöscht wird trotzdem, nur die Bestätigungen warten: siehe receipts.md.",
    containersFound:
      "Der zweite Blick hat wieder Daten gefunden; sie werden erneut gelöscht. Wenn es sich wiederholt, stellen Sie fest, wer dort schreibt.",
    beingDeleted: "Azure ist mit dem Löschen eines Containers noch nicht fertig. Warten Sie; fragen Sie nach einem Tag den Azure-Support.",
    ledgerStrange:
      "Das Hauptbuch kennt nicht, was im Konto liegt. Mit ziemlicher Sicherheit nennt die Einstellung das falsche Cosmos-DB-Konto: Berichtigen Sie sie.",
    ledgerUnsound:
      "Das Hauptbuch ist an dieser Stelle beschädigt oder unverständlich. Suchen Sie zuerst diesen Fehler; der Container bleibt unberührt.",
    unpaired:
      "Konto und Hauptbuch sagen nicht, dass sie zusammengehören. Vergleichen Sie die Kennungen der Bereitstellung, und berichtigen Sie die Einstellung.",
    geoExchanged: "In STORAGE_ACCOUNTS sind zwei Konten vertauscht. Berichtigen Sie die Einstellung; bis dahin wird nichts gelöscht.",
    conflict: "Nichts zu tun: Der nächste Abgleich trägt es ein.",
    unexpected: "Das ist ein Fehler in unserem Code. Sehen Sie im Protokoll nach; dort steht die Art des Fehlers.",
    unknownCode: "Diese Seite kennt den Code nicht. Suchen Sie ihn im Protokoll.",
    overdue:
      "Sehen Sie sich den letzten Fehler in der Liste der überfälligen Löschungen an, und beheben Sie seine Ursache. Den Rest erledigt der Löschlauf.",
    deletionsLate: "Sie wurden nach ihrer Frist abgeschlossen. Ihre Bestätigungen sagen, wann die Daten wirklich gelöscht waren.",
    abandoned:
      "Niemand löscht, was dort liegt, und Zustimmungen und Aufzeichnungen werden abgelehnt. Nennen Sie das Konto wieder in STORAGE_ACCOUNTS, als geschlossen.",
    accountFails:
      "Sehen Sie sich den Fehler des letzten Laufs an, und beheben Sie seine Ursache. Was fehlgeschlagen ist, wird innerhalb einer Stunde wieder versucht.",
    stopped: "Prüfen Sie, ob die App läuft und ob der Timer eingeschaltet ist. Starten Sie die App neu.",
    feed: "Es geht nichts verloren: Der Abgleich plant ein, was dem Änderungsfeed entging. Prüfen Sie, ob opt_outs eingeschaltet ist, und den Container leases.",
    statusUnreadable: "Prüfen Sie, ob der Dienst bereit ist (GET /health), und suchen Sie dann im Protokoll nach einem cosmos-Code.",
    firstRound: "Warten Sie, bis der Abgleich alles einmal gesehen hat. Er läuft 20 Minuten nach jeder vollen Stunde.",
    posture: "Stellen Sie die Eigenschaft des Kontos auf das ein, was nötig ist. Der nächste Abgleich prüft sie wieder.",
    notChecked: "Seit drei Stunden wurde nicht geprüft. Sehen Sie nach, ob der Abgleich läuft.",
    notice:
      "Ab dem Datum werden Aufzeichnungen dieser Mandanten abgelehnt. Bitten Sie deren Administratoren, dem geltenden Hinweis zuzustimmen.",
    rests: "Sehen Sie bei diesen Zusagen nach, und beseitigen Sie die Ursachen, die dort stehen.",
    unknown: "Diese Seite kennt diese Worte des Dienstes nicht. Lesen Sie sie so, wie sie sind.",
    unknownEnrollment:
      "Der Abgleich hat Daten gelöscht, von denen kein Hauptbuch weiß. Stellen Sie fest, ob Cosmos DB wiederhergestellt wurde oder wer sonst in das Konto schreibt.",
    wrongAccount:
      "Der Abgleich hat Daten gelöscht, die außerhalb ihrer Region lagen. Das ist ein meldepflichtiger Vorfall. Stellen Sie fest, ob eine Einstellung geändert oder Daten kopiert wurden.",
    afterReceipt:
      "Nach der Bestätigung waren wieder Daten da; sie werden erneut gelöscht. Stellen Sie fest, ob das Konto wiederhergestellt wurde, und informieren Sie den Mandanten.",
    pastDeadline: "Ein Tag blieb über seine Frist hinaus gespeichert. Prüfen Sie, ob der Löschlauf ohne Fehler läuft.",
    impossibleDay: "Der Abgleich hat einen Container eines künftigen Tages gelöscht. Prüfen Sie, wer sonst dort schreibt.",
    foreignContainers: "Im Konto liegen Container, die nicht von uns sind. Verlegen Sie sie in ein anderes Konto.",
    softDeleted:
      "Der Speicher behält, was gelöscht wurde. Schalten Sie vorläufiges Löschen, Versionierung und Zeitpunktwiederherstellung aus.",
    deletionsCreated: "Vom Abgleich behoben. Wenn es jede Stunde vorkommt, sehen Sie sich den Änderungsfeed an.",
    deletionsDisagreeing:
      "Eine Löschung ist nicht so, wie das Hauptbuch sagt. Der Abgleich stellt sie richtig; prüfen Sie, wer in die Datenbank schreiben darf.",
    receiptsInvalid:
      "Eine Bestätigung ist nicht das, was unterschrieben wurde oder was das Hauptbuch sagt. Prüfen Sie, wer schreiben darf und ob alle Schlüssel veröffentlicht sind.",
    deletionsWithoutEvent:
      "Zu einer Löschung steht kein Widerruf im Hauptbuch: Er ist verloren, oder jemand hat die Löschung angelegt. Prüfen Sie, wer schreiben darf, und lassen Sie die Einträge, wie sie sind.",
    eventsChanged:
      "Das Hauptbuch hat eine Lücke oder ein gebrochenes Glied. Lassen Sie die Einträge, wie sie sind, und vergleichen Sie sie mit einer Sicherung.",
    itemsUnreadable:
      "Ein Eintrag ist nicht so, wie der Dienst ihn schreibt. Das Protokoll nennt ihn. Prüfen Sie, ob eine andere Version bereitgestellt wurde.",
    settingsDisagreeing:
      "Eine Einstellung ist nicht das, was ihr letztes Ereignis sagt. Ist sie ein- statt ausgeschaltet, bitten Sie die Administration des Mandanten, sofort zu widerrufen.",
  },
};
