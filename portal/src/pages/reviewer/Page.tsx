import { Text } from "@fluentui/react-components";
import { useApp } from "../../app/context";
import { useRoute } from "../../app/route";
import { tenantIdOf } from "./ask";
import { PageTitle } from "./PageTitle";
import { Tenant } from "./Tenant";
import { TenantForm } from "./TenantForm";

/** For reviewers: `#/reviewer`, `#/reviewer/{tenantId}`, and below that `/{day}` and `/desk`. */
export default function ReviewerPage() {
  const { tenant } = useApp().texts.reviewer;
  const [page, id = "", day] = useRoute();
  const tenantId = page === "reviewer" ? tenantIdOf(id) : null;
  // Another tenant's page begins anew: nothing of the one before may be seen in it.
  if (tenantId !== null) return <Tenant key={tenantId} tenantId={tenantId} day={day} />;
  return (
    <>
      <PageTitle>{tenant.which}</PageTitle>
      <Text>{tenant.why}</Text>
      <TenantForm page="reviewer" />
    </>
  );
}
