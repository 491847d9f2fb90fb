// Reads {tables, queries} from stdin and writes what Microsoft's own language service has against each query.
// tables: names to their columns as KQL declares them.
const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const service = path.join(__dirname, '../../local/node_modules/@kusto/language-service-next');
const context = vm.createContext({ console });
for (const file of ['bridge.min.js', 'Kusto.Language.Bridge.min.js']) {
  vm.runInContext(fs.readFileSync(path.join(service, file), 'utf8'), context, { filename: file });
}
const { Language } = vm.runInContext('Kusto', context);
const { tables, queries } = JSON.parse(fs.readFileSync(0, 'utf8'));
const symbols = Object.entries(tables).map(([name, columns]) => Language.Symbols.TableSymbol.From(columns).WithName(name));
const state = Language.GlobalState.Default.WithDatabase(new Language.Symbols.DatabaseSymbol.ctor('db', symbols));
const found = queries.map((query) => {
  const diagnostics = Language.KustoCode.ParseAndAnalyze(query, state).GetDiagnostics();
  return Array.from({ length: diagnostics.Count }, (_, i) => {
    const each = diagnostics.getItem(i);
    return `${each.Severity} at ${each.Start}: ${each.Message}`;
  });
});
process.stdout.write(JSON.stringify(found));
