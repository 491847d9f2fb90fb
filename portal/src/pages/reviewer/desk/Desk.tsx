import { Link, Tab, TabList, Text, makeStyles, tokens } from "@fluentui/react-components";
import { useState } from "react";
import { useAction } from "../../../app/action";
import { answered, type Schemas } from "../../../app/api";
import { useApp } from "../../../app/context";
import { useLoaded } from "../../../app/load";
import { to } from "../../../app/route";
import { TroubleBar } from "../../../app/TroubleBar";
import { Section } from "../Section";
import { Agreement } from "./Agreement";
import { DeskTrouble } from "./DeskTrouble";
import { Exports } from "./Exports";
import { NOTHING, type Selection } from "./filter";
import { FilterForm } from "./FilterForm";
import { Results } from "./Results";
import { useRefusal } from "./useRefusal";
import { useSearch } from "./useSearch";

type Page = "find" | "agreement" | "exports";

const PAGES: readonly Page[] = ["find", "agreement", "exports"];

const useStyles = makeStyles({
  desk: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalL, minWidth: 0 },
  tabs: { flexWrap: "wrap" },
  page: { display: "flex", flexDirection: "column", gap: tokens.spacingVerticalL, minWidth: 0 },
  // Fluent's own rule for display is stronger than the attribute.
  hidden: { display: "none" },
});

/**
 * The reviewer's desk, as long as there is a live grant. What was found and typed is in the memory of this component and
 * nowhere else: when the grant ends, the page takes the component away.
 */
export default function Desk({ tenantId, onRefused }: { tenantId: string; onRefused: () => void }) {
  const styles = useStyles();
  const { api, texts } = useApp();
  const { desk } = texts;
  const [page, setPage] = useState<Page>("find");
  const [filter, setFilter] = useState(NOTHING);
  const [wished, setWished] = useState<Selection | null>(null);
  const [asked, setAsked] = useState<Schemas["ExportAnswer"] | null>(null);
  const search = useSearch(tenantId);
  const exporting = useAction();
  const vocabulary = useLoaded("vocabulary", async (signal) => {
    const params = { path: { tenantId } };
    return (await answered(api.GET("/tenants/{tenantId}/label-vocabulary", { params, signal }))).verdicts;
  });
  useRefusal(search.trouble ?? exporting.trouble ?? vocabulary.trouble, onRefused);
  const verdicts = vocabulary.data ?? [];

  const ask = (selection: Selection): void => {
    setWished(selection);
    void exporting.run(async () => {
      setAsked(await answered(api.POST("/tenants/{tenantId}/exports", { params: { path: { tenantId } }, body: selection })));
      setPage("exports");
    });
  };

  return (
    <div className={styles.desk}>
      <Link href={to("reviewer", tenantId)}>{desk.days}</Link>
      <Text>{desk.about}</Text>
      <TabList className={styles.tabs} selectedValue={page} onTabSelect={(_, { value }) => setPage(value as Page)}>
        {PAGES.map((each) => (
          <Tab key={each} value={each}>
            {desk.tabs[each]}
          </Tab>
        ))}
      </TabList>
      {/* What was found and typed stays while another tab is open. */}
      <div className={page === "find" ? styles.page : styles.hidden}>
        <Section title={desk.filter.title}>
          {vocabulary.trouble && <TroubleBar trouble={vocabulary.trouble} retry={vocabulary.reload} />}
          <FilterForm
            filter={filter}
            onChange={setFilter}
            verdicts={verdicts}
            onAsk={search.start}
            onExport={ask}
            isExporting={exporting.busy}
          />
          {exporting.trouble && wished && <DeskTrouble trouble={exporting.trouble} retry={() => ask(wished)} />}
        </Section>
        {search.ask && (
          <Section title={desk.results}>
            <Results tenantId={tenantId} search={search} verdicts={verdicts} onRefused={onRefused} />
          </Section>
        )}
      </div>
      {page === "agreement" && <Agreement tenantId={tenantId} onRefused={onRefused} />}
      {page === "exports" && <Exports tenantId={tenantId} asked={asked} onRefused={onRefused} />}
    </div>
  );
}
