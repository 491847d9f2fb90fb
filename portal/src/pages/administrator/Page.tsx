import { Link, Title2, makeStyles, tokens } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import { to, useRoute } from "../../app/route";
import { AccessLog } from "./AccessLog";
import { History } from "./History";
import { Overview } from "./Overview";

const useStyles = makeStyles({ nav: { display: "flex", flexWrap: "wrap", gap: tokens.spacingHorizontalL } });

type Tab = "overview" | "history" | "access";

/** What an administrator sees: the switch and what became of the data, and two lists. */
export default function AdministratorPage() {
  const styles = useStyles();
  const { texts } = useApp();
  const [, named] = useRoute();
  const open: Tab = named === "history" || named === "access" ? named : "overview";
  return (
    <>
      <Title2 as="h2">{texts.administrator.title}</Title2>
      <nav className={styles.nav} aria-label={texts.administrator.title}>
        {(["overview", "history", "access"] as const).map((tab) => (
          <Link
            key={tab}
            href={tab === "overview" ? to("administrator") : to("administrator", tab)}
            aria-current={tab === open ? "page" : undefined}
          >
            {texts.administrator.tabs[tab]}
          </Link>
        ))}
      </nav>
      {open === "overview" && <Overview />}
      {open === "history" && <History />}
      {open === "access" && <AccessLog />}
    </>
  );
}
