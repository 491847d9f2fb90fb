import { makeStyles, tokens } from "@fluentui/react-components";
import type { Left, Nearness } from "./left";

const useStyles = makeStyles({
  bar: { display: "block", width: "100%", height: "0.6rem", marginTop: tokens.spacingVerticalXXS },
  track: { fill: tokens.colorNeutralBackground5, stroke: tokens.colorNeutralStrokeAccessible, strokeWidth: "1px" },
  far: { fill: tokens.colorCompoundBrandBackground },
  soon: { fill: tokens.colorStatusWarningForeground1 },
  over: { fill: tokens.colorStatusDangerForeground1 },
});

/**
 * How much time is left, as a bar that grows shorter. The words beside it say the same, so it says nothing to those who
 * cannot see it. It is an SVG because our content security policy allows no style attributes.
 */
export function Bar({ left }: { left: Left }) {
  const styles = useStyles();
  const filled: Record<Nearness, number> = { far: left.share, soon: left.share, over: 1 };
  return (
    <svg className={styles.bar} viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <rect className={styles.track} width={100} height={6} vectorEffect="non-scaling-stroke" />
      {/* What is left is never so little that it cannot be seen; what is over is a full bar. */}
      <rect className={styles[left.nearness]} width={Math.max(1, 100 * filled[left.nearness])} height={6} />
    </svg>
  );
}
