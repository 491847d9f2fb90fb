import { Button, makeStyles } from "@fluentui/react-components";
import { useState, type ReactNode } from "react";
import { useApp } from "../../app/context";

const useStyles = makeStyles({ more: { justifySelf: "start", alignSelf: "start" } });

/** Shows the beginning of a list, and more of it on demand: nobody can make the page slow by sending a long one. */
export function Paged<T>({
  items,
  size,
  children,
}: {
  items: readonly T[];
  size: number;
  children: (shown: readonly T[]) => ReactNode;
}) {
  const styles = useStyles();
  const { texts, formats } = useApp();
  const [count, setCount] = useState(size);
  const left = items.length - count;
  return (
    <>
      {children(items.slice(0, count))}
      {left > 0 && (
        <Button className={styles.more} onClick={() => setCount(count + size)}>
          {`${texts.more} (${formats.number(left)})`}
        </Button>
      )}
    </>
  );
}
