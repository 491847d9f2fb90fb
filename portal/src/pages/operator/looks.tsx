import { makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import type { ReactNode } from "react";

/** How something is. Each has its own sign and is said in words as well: colour alone says nothing. */
export type Look = "good" | "bad" | "soon" | "plain" | "old";

const SIGNS: Record<Look, string> = {
  good: "M4 10.5l4 4 8-9",
  bad: "M5 5l10 10M15 5L5 15",
  soon: "M10 3v9M10 15v2",
  plain: "M4 10h12",
  old: "M10 2.5a7.5 7.5 0 1 0 .01 0M10 5.5V10l3.5 2",
};

const useStyles = makeStyles({
  sign: {
    width: "1.25em",
    height: "1.25em",
    flexShrink: 0,
    fill: "none",
    stroke: "currentColor",
    strokeWidth: "2.5px",
    verticalAlign: "-0.25em",
    marginRight: "0.4em",
  },
  good: { color: tokens.colorStatusSuccessForeground1 },
  bad: { color: tokens.colorStatusDangerForeground1 },
  soon: { color: tokens.colorStatusWarningForeground1 },
  plain: { color: tokens.colorNeutralForeground2 },
  old: { color: tokens.colorNeutralForeground2 },
  told: { fontWeight: tokens.fontWeightSemibold },
});

export function Sign({ look }: { look: Look }) {
  const styles = useStyles();
  return (
    <svg className={styles.sign} viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={SIGNS[look]} />
    </svg>
  );
}

/** A sign with the words for it. */
export function State({ look, children }: { look: Look; children: ReactNode }) {
  const styles = useStyles();
  return (
    <span className={mergeClasses(styles.told, styles[look])}>
      <Sign look={look} />
      {children}
    </span>
  );
}

/** The background and edge of what is said to be so. */
export const useSurface = makeStyles({
  good: {
    backgroundColor: tokens.colorStatusSuccessBackground1,
    borderLeft: `6px solid ${tokens.colorStatusSuccessBorderActive}`,
  },
  bad: {
    backgroundColor: tokens.colorStatusDangerBackground1,
    borderLeft: `6px double ${tokens.colorStatusDangerBorderActive}`,
  },
  soon: {
    backgroundColor: tokens.colorStatusWarningBackground1,
    borderLeft: `6px dashed ${tokens.colorStatusWarningBorderActive}`,
  },
  plain: {
    backgroundColor: tokens.colorNeutralBackground1,
    borderLeft: `6px dotted ${tokens.colorNeutralStrokeAccessible}`,
  },
  old: {
    backgroundColor: tokens.colorNeutralBackground1,
    borderLeft: `6px dashed ${tokens.colorNeutralStrokeAccessible}`,
  },
});
