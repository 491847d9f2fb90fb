/** How a language writes instants, spans of time and numbers. */
export class Formats {
  private readonly instants: Intl.DateTimeFormat;
  private readonly days: Intl.DateTimeFormat;
  private readonly spans: Intl.RelativeTimeFormat;
  private readonly numbers: Intl.NumberFormat;
  private readonly fractions: Intl.NumberFormat;
  private readonly percents: Intl.NumberFormat;

  constructor(locale: string) {
    this.instants = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
    this.days = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" });
    this.spans = new Intl.RelativeTimeFormat(locale, { numeric: "always" });
    this.numbers = new Intl.NumberFormat(locale);
    this.fractions = new Intl.NumberFormat(locale, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
    this.percents = new Intl.NumberFormat(locale, { style: "percent" });
  }

  /** An instant in the time zone of whoever reads. */
  instant(at: string | Date): string {
    return this.instants.format(new Date(at));
  }

  /** The same in UTC, for the tooltip. */
  utc(at: string | Date): string {
    return new Date(at).toISOString().replace("T", " ").replace(/\.\d+Z$/, " UTC");
  }

  /** A UTC day, `2026-11-27`. */
  day(day: string): string {
    return this.days.format(new Date(`${day.slice(0, 10)}T00:00:00Z`));
  }

  number(value: number): string {
    return this.numbers.format(value);
  }

  /** With two digits after the point. */
  fraction(value: number): string {
    return this.fractions.format(value);
  }

  /** A share, of which 1 is the whole. */
  percent(value: number): string {
    return this.percents.format(value);
  }

  /** How long until an instant, or how long ago: "in 3 days", "2 hours ago". */
  until(at: string | Date, now: Date): string {
    const seconds = (new Date(at).getTime() - now.getTime()) / 1000;
    for (const [unit, length] of UNITS) {
      if (Math.abs(seconds) >= length) return this.spans.format(Math.trunc(seconds / length), unit);
    }
    return this.spans.format(Math.trunc(seconds), "second");
  }
}

const UNITS: readonly (readonly [Intl.RelativeTimeFormatUnit, number])[] = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
];
