import { Title3, makeStyles } from "@fluentui/react-components";
import type { ReactNode } from "react";

const useStyles = makeStyles({ title: { overflowWrap: "anywhere" } });

/** The heading of a page, below that of the frame. */
export function PageTitle({ children }: { children: ReactNode }) {
  return (
    <Title3 as="h2" className={useStyles().title} block>
      {children}
    </Title3>
  );
}
