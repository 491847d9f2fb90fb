// Logs and metrics. They hold no customer content (P8), lie in the stamp's region, and are gone within 30 days.
param token string
param location string
param tags object
param principalId string

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
// Monitoring Metrics Publisher: sends telemetry, reads none.
var role = '3913510d-42f4-4e42-8a64-420c390055eb'

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-${token}'
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    // The least that this kind of workspace takes; the tables below keep less.
    retentionInDays: 30
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
      // Without it, 30 days are 31.
      immediatePurgeDataOn30Days: true
    }
  }
}

// One after the other: a workspace refuses two changes at a time.
@batchSize(1)
resource retention 'Microsoft.OperationalInsights/workspaces/tables@2023-09-01' = [for table in tables: {
  parent: workspace
  name: table
  properties: {
    retentionInDays: logDays
    // The same: no archive behind it.
    totalRetentionInDays: logDays
  }
}]

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${token}'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    // Callers' addresses are stored as 0.0.0.0.
    DisableIpMasking: false
    DisableLocalAuth: true
    ImmediatePurgeDataOn30Days: true
    IngestionMode: 'LogAnalytics'
    WorkspaceResourceId: workspace.id
  }
}

resource appMaySend 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, role)
  scope: insights
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}

output workspaceId string = workspace.id
output connectionString string = insights.properties.ConnectionString
