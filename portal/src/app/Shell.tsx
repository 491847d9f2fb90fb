import {
  Button,
  Dropdown,
  FluentProvider,
  Option,
  Spinner,
  Tab,
  TabList,
  Text,
  Title3,
  makeStaticStyles,
  makeStyles,
  teamsHighContrastTheme,
  tokens,
  webDarkTheme,
  webLightTheme,
} from "@fluentui/react-components";
import { Suspense, lazy, useEffect, useState, useSyncExternalStore } from "react";
import { en, type Messages } from "../messages/en";
import { apiOf } from "./api";
import { AppContext } from "./context";
import { Formats } from "./formats";
import { to, useRoute } from "./route";
import type { Person, Session } from "./session";

const AdministratorPage = lazy(() => import("../pages/administrator/Page"));
const OperatorPage = lazy(() => import("../pages/operator/Page"));
const ReviewerPage = lazy(() => import("../pages/reviewer/Page"));
const ApproverPage = lazy(() => import("../pages/approver/Page"));

const LANGUAGES: Record<string, { name: string; load: () => Promise<Messages> }> = {
  en: { name: "English", load: () => Promise.resolve(en) },
  de: { name: "Deutsch", load: async () => (await import("../messages/de")).de },
  ja: { name: "日本語", load: async () => (await import("../messages/ja")).ja },
};

const THEMES = { light: webLightTheme, dark: webDarkTheme, contrast: teamsHighContrastTheme };

type Appearance = keyof Messages["appearances"];

const useFrame = makeStaticStyles({ "body, h1, h2, h3, h4": { margin: 0 } });

const useStyles = makeStyles({
  page: { minHeight: "100vh", boxSizing: "border-box", backgroundColor: tokens.colorNeutralBackground2 },
  header: {
    display: "flex",
    flexWrap: "wrap",
    alignItems: "center",
    gap: tokens.spacingHorizontalM,
    padding: `${tokens.spacingVerticalS} ${tokens.spacingHorizontalL}`,
    backgroundColor: tokens.colorNeutralBackground1,
    borderBottom: `1px solid ${tokens.colorNeutralStroke2}`,
  },
  title: { marginRight: "auto" },
  choice: { minWidth: "9rem" },
  main: {
    maxWidth: "72rem",
    margin: "0 auto",
    padding: tokens.spacingHorizontalL,
    display: "grid",
    // A table or a long word scrolls in its own place and never widens the page.
    gridTemplateColumns: "minmax(0, 1fr)",
    gap: tokens.spacingVerticalL,
  },
});

/** What is around every page: who is signed in, where to go, language and appearance. */
export function Shell({ session, person }: { session: Session; person: Person | null }) {
  useFrame();
  const styles = useStyles();
  const [locale, setLocale] = useState(preferredLocale);
  const [appearance, setAppearance] = useState<Appearance>(preferredAppearance);
  const texts = useTexts(locale);
  const system = useSystemTheme();
  const route = useRoute();
  const [api] = useState(() => apiOf(session));
  const roles = person?.roles ?? [];
  const open = roles.find((role) => role === route[0]) ?? roles[0];

  useEffect(() => {
    document.documentElement.lang = locale;
    document.title = open ? `${texts.pages[open]} – ${texts.product}` : texts.product;
  }, [locale, texts, open]);

  return (
    <FluentProvider theme={THEMES[appearance === "system" ? system : appearance]}>
      <div className={styles.page}>
        <header className={styles.header}>
          <Title3 as="h1" className={styles.title}>
            {texts.product}
          </Title3>
          <Dropdown
            className={styles.choice}
            aria-label={texts.language}
            value={LANGUAGES[locale]?.name ?? ""}
            selectedOptions={[locale]}
            onOptionSelect={(_, { optionValue = "en" }) => {
              localStorage.setItem("locale", optionValue);
              setLocale(optionValue);
            }}
          >
            {Object.entries(LANGUAGES).map(([key, { name }]) => (
              <Option key={key} value={key} text={name}>
                <span lang={key}>{name}</span>
              </Option>
            ))}
          </Dropdown>
          <Dropdown
            className={styles.choice}
            aria-label={texts.appearance}
            value={texts.appearances[appearance]}
            selectedOptions={[appearance]}
            onOptionSelect={(_, { optionValue = "system" }) => {
              localStorage.setItem("appearance", optionValue);
              setAppearance(optionValue as Appearance);
            }}
          >
            {Object.entries(texts.appearances).map(([key, name]) => (
              <Option key={key} value={key}>
                {name}
              </Option>
            ))}
          </Dropdown>
          {person && <Text>{person.name}</Text>}
          {person ? (
            <Button onClick={() => void session.signOut()}>{texts.signOut}</Button>
          ) : (
            <Button appearance="primary" onClick={() => void session.signIn()}>
              {texts.signIn}
            </Button>
          )}
        </header>
        {roles.length > 1 && (
          <nav aria-label={texts.product}>
            <TabList selectedValue={open} onTabSelect={(_, { value }) => (location.hash = to(value as string))}>
              {roles.map((role) => (
                <Tab key={role} value={role}>
                  {texts.pages[role]}
                </Tab>
              ))}
            </TabList>
          </nav>
        )}
        <main className={styles.main}>
          {!person && <Text>{texts.welcome}</Text>}
          {person && !open && <Text>{texts.noPage}</Text>}
          {person && open && (
            <AppContext value={{ session, api, person, locale, texts, formats: new Formats(locale) }}>
              <Suspense fallback={<Spinner label={texts.loading} />}>
                {open === "administrator" && <AdministratorPage />}
                {open === "operator" && <OperatorPage />}
                {open === "reviewer" && <ReviewerPage />}
                {open === "approver" && <ApproverPage />}
              </Suspense>
            </AppContext>
          )}
        </main>
      </div>
    </FluentProvider>
  );
}

function preferredLocale(): string {
  const wanted = [localStorage.getItem("locale"), ...navigator.languages.map((each) => each.slice(0, 2))];
  return wanted.find((each) => each !== null && each in LANGUAGES) ?? "en";
}

function preferredAppearance(): Appearance {
  const kept = localStorage.getItem("appearance");
  return kept !== null && kept in en.appearances ? (kept as Appearance) : "system";
}

function useTexts(locale: string): Messages {
  const [texts, setTexts] = useState(en);
  useEffect(() => {
    let wanted = true;
    void LANGUAGES[locale]?.load().then((loaded) => {
      if (wanted) setTexts(loaded);
    });
    return () => {
      wanted = false;
    };
  }, [locale]);
  return texts;
}

const CONTRAST = matchMedia("(forced-colors: active), (prefers-contrast: more)");
const DARK = matchMedia("(prefers-color-scheme: dark)");

function useSystemTheme(): keyof typeof THEMES {
  return useSyncExternalStore(
    (changed) => {
      for (const query of [CONTRAST, DARK]) query.addEventListener("change", changed);
      return () => {
        for (const query of [CONTRAST, DARK]) query.removeEventListener("change", changed);
      };
    },
    () => (CONTRAST.matches ? "contrast" : DARK.matches ? "dark" : "light"),
  );
}
