import { Link, makeStyles } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import { to, useRoute } from "../../app/route";
import { tenantIdOf } from "../reviewer/ask";
import { PageTitle } from "../reviewer/PageTitle";
import { Section } from "../reviewer/Section";
import { TenantForm } from "../reviewer/TenantForm";
import { Queue } from "./Queue";
import { TenantGrants } from "./TenantGrants";

const useStyles = makeStyles({ back: { justifySelf: "start" } });

/** For approvers: `#/approver` is what waits, of all tenants; `#/approver/{tenantId}` is everything of one. */
export default function ApproverPage() {
  const styles = useStyles();
  const { approver, tenant } = useApp().texts.reviewer;
  const [page, id = ""] = useRoute();
  const tenantId = page === "approver" ? tenantIdOf(id) : null;
  if (tenantId === null) {
    return (
      <>
        <PageTitle>{approver.title}</PageTitle>
        <Queue />
        <Section title={approver.oneTenant}>
          <TenantForm page="approver" />
        </Section>
      </>
    );
  }
  return (
    <>
      <Link className={styles.back} href={to("approver")}>
        {approver.back}
      </Link>
      <PageTitle>{tenant.title(tenantId)}</PageTitle>
      <TenantGrants key={tenantId} tenantId={tenantId} />
    </>
  );
}
