import { Subtitle1, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { useId, type ReactNode } from "react";
import { useApp } from "../../app/context";
import { sectionOf, topicOfCode, type Topic } from "./runbook";
import { useSurface, type Look } from "./looks";

/** No card is narrower than this, unless the screen is. */
const CARD = "min(100%, 19rem)";

const useStyles = makeStyles({
  section: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", gap: tokens.spacingVerticalM },
  cards: {
    display: "grid",
    gridTemplateColumns: `repeat(auto-fill, minmax(${CARD}, 1fr))`,
    gap: tokens.spacingHorizontalM,
    margin: 0,
    padding: 0,
    listStyleType: "none",
  },
  group: { display: "grid", gridTemplateColumns: "minmax(0, 1fr)", alignContent: "start", gap: tokens.spacingVerticalS },
  card: {
    display: "flex",
    flexDirection: "column",
    gap: tokens.spacingVerticalS,
    minWidth: 0,
    boxSizing: "border-box",
    padding: tokens.spacingHorizontalM,
    borderRadius: tokens.borderRadiusMedium,
    boxShadow: tokens.shadow2,
    color: tokens.colorNeutralForeground1,
    overflowWrap: "anywhere",
  },
  facts: {
    display: "grid",
    gridTemplateColumns: "repeat(auto-fill, minmax(min(100%, 8rem), 1fr))",
    gap: tokens.spacingHorizontalS,
    margin: 0,
  },
  wide: { gridColumn: "1 / -1" },
  label: { color: tokens.colorNeutralForeground2, fontSize: tokens.fontSizeBase200 },
  value: { margin: 0 },
  heading: { fontSize: tokens.fontSizeBase400, lineHeight: tokens.lineHeightBase400 },
  advice: { display: "block", fontSize: tokens.fontSizeBase200, color: tokens.colorNeutralForeground2 },
  code: { fontFamily: tokens.fontFamilyMonospace },
});

/** A part of the page under a heading. */
export function Section({ title, children }: { title: string; children: ReactNode }) {
  const styles = useStyles();
  const id = useId();
  return (
    <section className={styles.section} aria-labelledby={id}>
      <Subtitle1 as="h2" id={id}>
        {title}
      </Subtitle1>
      {children}
    </section>
  );
}

/** Cards side by side, or under each other where there is no room. */
export function Cards({ label, children }: { label: string; children: ReactNode }) {
  return (
    // A list without bullets is none to Safari, unless it says so.
    <ul className={useStyles().cards} role="list" aria-label={label}>
      {children}
    </ul>
  );
}

/** Groups of cards: those of one card side by side, those of more under each other. */
export function Groups({ children }: { children: ReactNode }) {
  return <div className={useStyles().cards}>{children}</div>;
}

/** Cards under a heading of their own. */
export function Group({ title, wide = false, children }: { title: string; wide?: boolean; children: ReactNode }) {
  const styles = useStyles();
  return (
    <div className={mergeClasses(styles.group, wide && styles.wide)}>
      <h3 className={styles.heading}>{title}</h3>
      <Cards label={title}>{children}</Cards>
    </div>
  );
}

interface CardProps {
  title: string;
  look: Look;
  /** Of the heading: one deeper than that of what the card stands in. */
  level?: 3 | 4;
  children: ReactNode;
}

export function Card({ title, look, level = 3, children }: CardProps) {
  const styles = useStyles();
  const Heading = level === 3 ? "h3" : "h4";
  return (
    <li className={mergeClasses(styles.card, useSurface()[look])}>
      <Heading className={styles.heading}>{title}</Heading>
      {children}
    </li>
  );
}

export function Facts({ children }: { children: ReactNode }) {
  return <dl className={useStyles().facts}>{children}</dl>;
}

export function Fact({ label, wide = false, children }: { label: string; wide?: boolean; children: ReactNode }) {
  const styles = useStyles();
  return (
    <div className={wide ? styles.wide : undefined}>
      <dt className={styles.label}>{label}</dt>
      <dd className={styles.value}>{children}</dd>
    </div>
  );
}

/** A name of the service's, as it is in its log and in the runbook. */
export function Code({ children }: { children: string }) {
  return <code className={useStyles().code}>{children}</code>;
}

/** What the runbook says on something, in a sentence, and where it has more. */
export function Advice({ topic }: { topic: Topic }) {
  const { operator } = useApp().texts;
  return (
    <span className={useStyles().advice}>
      {operator.advice[topic]} {operator.runbook} <cite lang="en">{sectionOf(topic)}</cite>
    </span>
  );
}

/** A failure's code, and what to do about it. */
export function Failure({ code }: { code: string }) {
  return (
    <span>
      <Code>{code}</Code>
      <Advice topic={topicOfCode(code)} />
    </span>
  );
}
