import { Button, makeStyles, mergeClasses, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useApp } from "../../app/context";
import { beginning, runs } from "./hidden";

const useStyles = makeStyles({
  said: {
    whiteSpace: "pre-wrap",
    overflowWrap: "anywhere",
    // Each line has the direction of its own first letter, and none changes the order of what is around it.
    unicodeBidi: "plaintext",
  },
  block: {
    display: "block",
    textAlign: "start",
    // Marks can be heaped on a letter until they cover the lines above: they end where the text ends.
    overflowX: "clip",
    overflowY: "clip",
  },
  hidden: {
    direction: "ltr",
    unicodeBidi: "isolate",
    fontFamily: tokens.fontFamilyMonospace,
    fontSize: tokens.fontSizeBase200,
    padding: `0 ${tokens.spacingHorizontalXXS}`,
    margin: `0 ${tokens.spacingHorizontalXXS}`,
    border: `1px solid ${tokens.colorStatusWarningBorder1}`,
    borderRadius: tokens.borderRadiusSmall,
    color: tokens.colorStatusWarningForeground3,
    backgroundColor: tokens.colorStatusWarningBackground1,
  },
});

/** So many characters are shown at first, and so many more each time: a text may have a quarter of a million. */
const FIRST = 4000;
const MORE = 40_000;

/**
 * Shows what somebody said, of whom we know nothing: as text and nothing else, isolated from what is around it, with
 * everything visible that would hide in it. It is not offered for translation, because that would send it elsewhere.
 */
export function Said({ children: said, inline = false }: { children: string; inline?: boolean }) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const [length, setLength] = useState(FIRST);
  const shown = beginning(said, length);
  return (
    <>
      <bdi className={mergeClasses(styles.said, !inline && styles.block)} translate="no">
        {runs(shown).map(({ text, hidden }, index) =>
          hidden ? (
            <span key={index} className={styles.hidden} title={texts.reviewer.hiddenCharacter}>
              {text}
            </span>
          ) : (
            text
          ),
        )}
      </bdi>
      {shown.length < said.length && (
        <Button size="small" onClick={() => setLength(length + MORE)}>
          {texts.reviewer.longer(formats.number(shown.length), formats.number(said.length))}
        </Button>
      )}
    </>
  );
}
