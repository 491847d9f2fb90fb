// Logs and metrics. They hold no customer content (P8), lie in the stamp's region, and are gone within 30 days.
param token string
param workspaceName string
param location string
param tags object
param identityName string

// Monitoring Metrics Publisher: sends telemetry, reads none.
var role = '3913510d-42f4-4e42-8a64-420c390055eb'

// Spoken of by name, so that a preview can show the roles: what an output of a module names, it leaves out.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource workspace 'Microsoft.OperationalInsights/workspaces@2025-07-01' = {
  name: workspaceName
  location: location
  tags: tags
  properties: {
    sku: { name: 'PerGB2018' }
    // The least that this kind of workspace takes; log-retention.bicep has the tables keep less.
    retentionInDays: 30
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
      // Without it, 30 days are 31.
      immediatePurgeDataOn30Days: true
    }
  }
}

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
  name: guid(insights.id, identity.id, role)
  scope: insights
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}

output workspaceId string = workspace.id
output connectionString string = insights.properties.ConnectionString
