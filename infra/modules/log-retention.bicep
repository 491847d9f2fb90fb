// How long logs are kept. On its own, because a new workspace answers 404 for its tables for a while: main.bicep comes to
// this after what takes long, and to the app after this.
param workspaceName string

@description('Days that a log line is kept.')
@minValue(4)
@maxValue(29)
param logDays int = 28

// Application Insights' tables keep 90 days, whatever the workspace says, unless each is told otherwise.
var tables = [
  'AppAvailabilityResults'
  'AppBrowserTimings'
  'AppDependencies'
  'AppEvents'
  'AppExceptions'
  'AppMetrics'
  'AppPageViews'
  'AppPerformanceCounters'
  'AppRequests'
  'AppSystemEvents'
  'AppTraces'
]

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' existing = {
  name: workspaceName
}

// One after the other: a workspace refuses two changes at a time.
@batchSize(1)
resource retention 'Microsoft.OperationalInsights/workspaces/tables@2025-07-01' = [for table in tables: {
  parent: workspace
  name: table
  properties: {
    retentionInDays: logDays
    // The same: no archive behind it.
    totalRetentionInDays: logDays
  }
}]
