import { Button, Spinner, Text, makeStyles, tokens } from "@fluentui/react-components";
import { answered } from "../../app/api";
import { useApp } from "../../app/context";
import { useLoaded } from "../../app/load";
import { TroubleBar } from "../../app/TroubleBar";
import { Paged } from "../reviewer/Paged";
import { Decision } from "./Decision";

const MOST = 200;

const useStyles = makeStyles({
  bar: { display: "flex", flexWrap: "wrap", alignItems: "center", gap: tokens.spacingHorizontalM },
});

/**
 * What waits for an approver, of all tenants, the one that lapses first first.
 *
 * It is read anew only on demand: a list that moved by itself could put another request under the pointer that approves.
 */
export function Queue() {
  const styles = useStyles();
  const { api, texts, formats } = useApp();
  const { approver } = texts.reviewer;
  const { data, trouble, loading, at, reload } = useLoaded("queue", async (signal) => {
    const { value } = await answered(api.GET("/pending-grants", { params: { query: { limit: MOST } }, signal }));
    return value;
  });
  return (
    <>
      <div className={styles.bar}>
        <Text role="status">
          {data && (data.length < MOST ? approver.waiting(data.length, formats.number(data.length)) : approver.first(formats.number(MOST)))}
          {at && ` ${approver.at(formats.instant(at))}`}
        </Text>
        <Button size="small" disabledFocusable={loading} onClick={reload}>
          {approver.refresh}
        </Button>
        {loading && <Spinner size="tiny" label={texts.loading} />}
      </div>
      {trouble && <TroubleBar trouble={trouble} retry={reload} />}
      {data && (
        <Paged items={data} size={20}>
          {(shown) =>
            shown.map((each) => (
              <Decision key={`${each.tenantId} ${each.grantId}`} grant={each} lapsesAt={each.lapsesAt} showTenant />
            ))
          }
        </Paged>
      )}
    </>
  );
}
