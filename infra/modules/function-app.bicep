// The app: its code is what .funcignore leaves of this project.
param token string
param location string
param tags object
param identityId string
param identityClientId string
param subnetId string
param deploymentContainer string
param hostBlobEndpoint string
param cosmosEndpoint string

@description('For each storage account of a served geo: {geo, endpoint, state}, the state being open or closed.')
param storageAccounts array

param receiptKey string
param insightsConnectionString string
param operatorTenantId string
param tokenAudiences string
param reviewAuthContext string
param reviewVerdicts object
param tenantSettingsAudiences string
param homeGeos object
param controller string
param portalClientId string
param portalAuthority string
param retentionDays int
param consentEpochs bool
param geoEndpoints object

param allowedOrigins array
param publicAddress string
param trustedForwardedHosts string
param perInstanceConcurrency int
param instanceMemoryMB int
param maximumInstanceCount int
param zoneRedundant bool

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: 'plan-${token}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: {
    reserved: true
    // checkov:skip=CKV_AZURE_225: not every region of a geo has zones; nothing is lost by an outage, only late (P9)
    zoneRedundant: zoneRedundant
  }
}

resource app 'Microsoft.Web/sites@2025-03-01' = {
  name: 'func-${token}'
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identityId}': {} }
  }
  properties: {
    // checkov:skip=CKV_AZURE_212: this plan counts its instances by itself
    // checkov:skip=CKV_AZURE_213: its probes would keep an instance awake and paid for; the alert status-unreadable tells instead
    serverFarmId: plan.id
    httpsOnly: true
    // checkov:skip=CKV_AZURE_222: callers are outside; every route that is not for anybody demands a token
    // checkov:skip=CKV_AZURE_17: callers prove themselves by tokens, not by client certificates
    publicNetworkAccess: 'Enabled'
    virtualNetworkSubnetId: subnetId
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: deploymentContainer
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identityId
          }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        // Unless told otherwise this plan gives an instance of a Python app one request at a time, and an opt-out waits for two
        // seconds (P2): nobody else would be answered meanwhile.
        triggers: {
          http: { perInstanceConcurrency: perInstanceConcurrency }
        }
      }
    }
    siteConfig: {
      // All that the code and the host read, and no secret. The runtime is named above: on this plan
      // FUNCTIONS_WORKER_RUNTIME and its like must not be set.
      appSettings: [
        { name: 'APPLICATIONINSIGHTS_AUTHENTICATION_STRING', value: 'ClientId=${identityClientId};Authorization=AAD' }
        // Names the component and its region; with local authentication off, it lets nobody send.
        { name: 'APPLICATIONINSIGHTS_CONNECTION_STRING', value: insightsConnectionString }
        { name: 'AZURE_CLIENT_ID', value: identityClientId }
        { name: 'AzureWebJobsStorage__blobServiceUri', value: hostBlobEndpoint }
        { name: 'AzureWebJobsStorage__clientId', value: identityClientId }
        { name: 'AzureWebJobsStorage__credential', value: 'managedidentity' }
        { name: 'COSMOS_CONNECTION__accountEndpoint', value: cosmosEndpoint }
        { name: 'COSMOS_CONNECTION__clientId', value: identityClientId }
        { name: 'COSMOS_CONNECTION__credential', value: 'managedidentity' }
        { name: 'CONSENT_EPOCHS', value: consentEpochs ? 'on' : 'off' }
        { name: 'CONTROLLER', value: controller }
        { name: 'GEO_ENDPOINTS', value: string(geoEndpoints) }
        { name: 'HOME_GEOS', value: string(homeGeos) }
        { name: 'OPERATOR_TENANT_ID', value: operatorTenantId }
        { name: 'PORTAL_AUTHORITY', value: portalAuthority }
        { name: 'PORTAL_CLIENT_ID', value: portalClientId }
        { name: 'PUBLIC_ADDRESS', value: publicAddress }
        { name: 'RECEIPT_KEY', value: receiptKey }
        { name: 'RETENTION_DAYS', value: string(retentionDays) }
        { name: 'REVIEW_AUTH_CONTEXT', value: reviewAuthContext }
        { name: 'REVIEW_VERDICTS', value: string(reviewVerdicts) }
        {
          name: 'STORAGE_ACCOUNTS'
          // A geo's only account stands without a list, if it is open.
          value: string(mapValues(
            groupBy(storageAccounts, each => each.geo),
            those => length(those) == 1 && those[0].state == 'open' ? those[0].endpoint : map(
              those,
              each => each.state == 'open' ? each.endpoint : { endpoint: each.endpoint, state: each.state }
            )
          ))
        }
        { name: 'TENANT_SETTINGS_AUDIENCES', value: tenantSettingsAudiences }
        { name: 'TOKEN_AUDIENCES', value: tokenAudiences }
        { name: 'TRUSTED_FORWARDED_HOSTS', value: trustedForwardedHosts }
      ]
      // Pages elsewhere that may call the API from a browser; what they may do is up to the user's token. No cookies.
      cors: {
        allowedOrigins: allowedOrigins
        supportCredentials: false
      }
      // checkov:skip=CKV_AZURE_78: this plan has no FTP, and refuses a site whose ftpsState is set
      http20Enabled: true
      minTlsVersion: '1.2'
      scmMinTlsVersion: '1.2'
    }
  }
}

// This plan has no FTP, and refuses a policy for it.
resource noDeploymentPassword 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

output name string = app.name
output address string = 'https://${app.properties.defaultHostName}/api'
