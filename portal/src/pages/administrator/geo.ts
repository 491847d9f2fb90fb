import type { Messages } from "../../messages/en";

/** A geo's name in the page's language; one that the page does not know, as the API names it. */
export function geoName(geo: string, locale: string, words: Messages["administrator"]): string {
  const region = REGIONS[geo];
  if (region !== undefined) return new Intl.DisplayNames([locale], { type: "region" }).of(region) ?? geo;
  return geo in words.geos ? words.geos[geo as keyof typeof words.geos] : geo;
}

const REGIONS: Readonly<Record<string, string>> = {
  australia: "AU",
  canada: "CA",
  france: "FR",
  germany: "DE",
  india: "IN",
  japan: "JP",
  korea: "KR",
  norway: "NO",
  southafrica: "ZA",
  sweden: "SE",
  switzerland: "CH",
  unitedarabemirates: "AE",
  unitedkingdom: "GB",
  unitedstates: "US",
};
