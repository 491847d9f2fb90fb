import { Tooltip } from "@fluentui/react-components";
import { useApp } from "./context";

/** An instant by the reader's clock and language, with UTC in the tooltip. */
export function When({ at }: { at: string }) {
  const { formats } = useApp();
  return (
    <Tooltip content={formats.utc(at)} relationship="description">
      <time dateTime={at} tabIndex={0}>
        {formats.instant(at)}
      </time>
    </Tooltip>
  );
}
