import { Button, Spinner, Text } from "@fluentui/react-components";
import { useState, type ReactNode } from "react";
import { TroubleBar } from "../../app/TroubleBar";
import { useApp } from "../../app/context";
import { State } from "./looks";
import { Cards, Section } from "./parts";
import type { Refreshed } from "./age";

/** A page of the API holds no more. */
export const PAGE = 200;

const STEP = 20;

interface ListingProps<T> {
  title: string;
  /** What to say if there is nothing, and it is known that there is nothing. */
  nothing: string;
  list: Refreshed<readonly T[]>;
  /** Whether what was read must not be taken for what is so now. */
  old: boolean;
  /** Whether there is nothing else than what was read. */
  whole: boolean;
  /** What is to be said above the list. */
  note?: ReactNode;
  card: (entry: T) => ReactNode;
}

/** A list that refreshes itself, and says so if it could not. Few of its entries are shown at first. */
export function Listing<T>({ title, nothing, list: { data, readAt, trouble, refresh }, old, whole, note, card }: ListingProps<T>) {
  const { texts, formats } = useApp();
  const { operator } = texts;
  const [shown, setShown] = useState(STEP);
  return (
    <Section title={title}>
      {trouble && <TroubleBar trouble={trouble} retry={refresh} />}
      {!data && !trouble && <Spinner label={texts.loading} />}
      {data && old && readAt !== null && <State look="old">{operator.notRefreshed(formats.instant(new Date(readAt)))}</State>}
      {note}
      {data?.length === 0 && whole && <State look={old ? "old" : "good"}>{nothing}</State>}
      {data && data.length > 0 && <Cards label={title}>{data.slice(0, shown).map(card)}</Cards>}
      {data && data.length > shown && (
        <div>
          <Text>{operator.shownOf(formats.number(shown), formats.number(data.length))}</Text>{" "}
          <Button onClick={() => setShown(shown + STEP)}>{texts.more}</Button>
        </div>
      )}
      {data && data.length <= shown && !whole && <Text>{operator.moreThere}</Text>}
    </Section>
  );
}
