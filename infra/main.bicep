// One stamp of the service: an app, its ledger, and one or more storage accounts in each geo that it serves.
// One stamp can serve all geos; or each geo, or group of geos, gets a stamp of its own with another environment name.
targetScope = 'subscription'

@description('Names the stamp; azd gives it. All resource names follow from it.')
@minLength(1)
@maxLength(64)
param environmentName string

// Those with Flex Consumption; `az functionapp list-flexconsumption-locations` names those of today.
@description('The region of the app, its ledger and its logs. Captures lie where servedGeos says.')
@allowed([
  'australiaeast'
  'australiasoutheast'
  'brazilsouth'
  'canadacentral'
  'centralindia'
  'centralus'
  'eastasia'
  'eastus'
  'eastus2'
  'francecentral'
  'germanywestcentral'
  'italynorth'
  'japaneast'
  'koreacentral'
  'northcentralus'
  'northeurope'
  'norwayeast'
  'southafricanorth'
  'southcentralus'
  'southeastasia'
  'southindia'
  'spaincentral'
  'swedencentral'
  'uaenorth'
  'uksouth'
  'ukwest'
  'westcentralus'
  'westeurope'
  'westus'
  'westus2'
  'westus3'
])
@metadata({ azd: { type: 'location' } })
param location string

// The number is in the account's name and not in the order of the list, so that an entry can be taken out again.
@description('For each storage account of a served geo: {geo, region, sku, number, state}. The region must be one of the geo\'s; the SKU Standard_LRS or Standard_ZRS. The first of a geo needs no number, further ones have 2 to 999. The state is open, if it is not said, or closed: then nobody new comes into the account.')
@minLength(1)
param servedGeos array

@description('For geos that other stamps serve: geo to the address of that stamp.')
param geoEndpoints object = {}

@description('How many days a capture is kept (P4).')
@minValue(3)
@maxValue(30)
param retentionDays int = 30

@description('Whether instances rely on a setting for a minute while its epoch stays (D21). Only once all instances change epochs.')
param consentEpochs bool = false

@description('The Entra tenant whose app roles count.')
@minLength(36)
@maxLength(36)
param operatorTenantId string

@description('The audiences that tokens may have, with commas between them.')
@minLength(1)
param tokenAudiences string

@description('The Conditional Access authentication context that a reviewer\'s sign-in must satisfy.')
@minLength(2)
@maxLength(3)
param reviewAuthContext string

@description('The verdicts that reviewers may give, a list of words by tenant id; * stands for all others. Empty: the usual ones.')
param reviewVerdicts object = {}

@description('Audiences of the tokens that open the tenant settings and nothing else, with commas between them; empty if none does.')
param tenantSettingsAudiences string = ''

@description('The geo of each tenant that opts in by a tool which names none, by tenant id; * stands for all others.')
param homeGeos object = {}

@description('Who operates the service, as consent receipts name it; empty if they shall name nobody.')
param controller string = ''

@description('The client id of the portal\'s own app registration (docs/portal.md); empty: no portal is offered.')
param portalClientId string = ''

@description('Where the portal signs its users in, if not with Entra\'s address for all organisations.')
param portalAuthority string = ''

@description('Who is told of an alert.')
@minLength(3)
param alertEmail string

@description('Public IP addresses or ranges (up to /30) from which operators reach the stores and the vault. Empty: nobody does, and the app uses its private network.')
param allowedIpRanges array = []

@description('Object ids of people or groups who may read and write the ledger, for the time of a repair (docs/operations.md).')
param operatorIds array = []

@description('Origins of pages elsewhere that may call the API from a browser, such as https://admin.example.com.')
param allowedOrigins array = []

@description('The https:// address by which clients know the API, in the place of /api; empty: the app has no gateway.')
param publicAddress string = ''

@description('Hosts, with commas between them, that the gateway may name in X-Forwarded-Host; links lead to the one named.')
param trustedForwardedHosts string = ''

@description('How many requests an instance answers at the same time.')
@minValue(1)
@maxValue(1000)
param perInstanceConcurrency int = 16

@description('The memory of an instance. 512 MB are too little for the host and sixteen bodies of 4 MiB.')
@allowed([2048, 4096])
param instanceMemoryMB int = 2048

@description('How many instances there may be.')
@minValue(1)
@maxValue(1000)
param maximumInstanceCount int = 100

@description('Whether app and ledger are spread over the zones of their region, which must have some. Cosmos DB cannot change it later.')
param zoneRedundant bool = false

var token = toLower(uniqueString(subscription().id, environmentName, location))
var identityName = 'id-${token}'
var workspaceName = 'log-${token}'
// A storage account refuses a range of one or two addresses, when everything else is there already.
var addresses = empty(filter(allowedIpRanges, each => endsWith(each, '/31') || endsWith(each, '/32'))) ? allowedIpRanges : fail('Write the addresses of a /31 or /32 one by one.')
var tags = { 'azd-env-name': environmentName }
var accounts = [for each in servedGeos: union({ number: 1, state: 'open' }, each)]
var labels = [for each in accounts: each.number == 1 ? each.geo : '${each.geo}-${each.number}']

resource group 'Microsoft.Resources/resourceGroups@2025-04-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: {
    name: identityName
    location: location
    tags: tags
  }
}

module network 'modules/network.bicep' = {
  name: 'network'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    token: token
    workspaceName: workspaceName
    location: location
    tags: tags
    identityName: identityName
  }
  dependsOn: [identity]
}

module logRetention 'modules/log-retention.bicep' = {
  name: 'log-retention'
  scope: group
  params: { workspaceName: workspaceName }
  dependsOn: [
    monitoring
    vault
    cosmos
    geoStorage
  ]
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    email: alertEmail
  }
}

module vault 'modules/key-vault.bicep' = {
  name: 'key-vault'
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    identityName: identityName
    allowedIpRanges: addresses
  }
  dependsOn: [identity]
}

module cosmos 'modules/cosmos.bicep' = {
  name: 'cosmos'
  scope: group
  params: {
    name: 'cosmos-${token}'
    location: location
    tags: tags
    identityName: identityName
    allowedIpRanges: addresses
    operatorIds: operatorIds
    zoneRedundant: zoneRedundant
  }
  dependsOn: [identity]
}

module geoStorage 'modules/geo-storage.bicep' = [for (each, i) in accounts: {
  name: 'storage-${labels[i]}'
  scope: group
  params: {
    geo: each.geo
    number: each.number
    region: each.region
    sku: each.sku
    token: token
    tags: tags
    identityName: identityName
    retentionDays: retentionDays
    allowedIpRanges: addresses
  }
  dependsOn: [identity]
}]

module hostStorage 'modules/host-storage.bicep' = {
  name: 'host-storage'
  scope: group
  params: {
    name: 'stfunc${token}'
    location: location
    tags: tags
    identityName: identityName
    zoneRedundant: zoneRedundant
  }
  dependsOn: [identity]
}

module vaultEndpoint 'modules/private-endpoint.bicep' = {
  name: 'endpoint-vault'
  scope: group
  params: {
    name: 'pe-vault-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.vaultZoneId
    targetId: vault.outputs.id
    groupId: 'vault'
  }
}

module cosmosEndpoint 'modules/private-endpoint.bicep' = {
  name: 'endpoint-cosmos'
  scope: group
  params: {
    name: 'pe-cosmos-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.cosmosZoneId
    targetId: cosmos.outputs.id
    groupId: 'Sql'
  }
}

module hostStorageEndpoint 'modules/private-endpoint.bicep' = {
  name: 'endpoint-host-storage'
  scope: group
  params: {
    name: 'pe-func-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.blobZoneId
    targetId: hostStorage.outputs.id
    groupId: 'blob'
  }
}

// The endpoint is beside the app, the account wherever its geo is.
module geoStorageEndpoint 'modules/private-endpoint.bicep' = [for (each, i) in accounts: {
  name: 'endpoint-${labels[i]}'
  scope: group
  params: {
    name: 'pe-${labels[i]}-${token}'
    location: location
    tags: tags
    subnetId: network.outputs.endpointSubnetId
    zoneId: network.outputs.blobZoneId
    targetId: geoStorage[i].outputs.id
    groupId: 'blob'
  }
}]

module app 'modules/function-app.bicep' = {
  name: 'function-app'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    subnetId: network.outputs.appSubnetId
    deploymentContainer: hostStorage.outputs.deploymentContainer
    hostBlobEndpoint: hostStorage.outputs.blobEndpoint
    cosmosEndpoint: cosmos.outputs.endpoint
    storageAccounts: [for (each, i) in accounts: {
      geo: each.geo
      endpoint: geoStorage[i].outputs.blobEndpoint
      state: contains(['open', 'closed'], each.state) ? each.state : fail('An account is open or closed.')
    }]
    receiptKey: vault.outputs.receiptKey
    insightsConnectionString: monitoring.outputs.connectionString
    operatorTenantId: operatorTenantId
    tokenAudiences: tokenAudiences
    reviewAuthContext: reviewAuthContext
    reviewVerdicts: reviewVerdicts
    tenantSettingsAudiences: tenantSettingsAudiences
    homeGeos: homeGeos
    controller: controller
    portalClientId: portalClientId
    portalAuthority: portalAuthority
    retentionDays: retentionDays
    consentEpochs: consentEpochs
    geoEndpoints: geoEndpoints
    allowedOrigins: allowedOrigins
    publicAddress: publicAddress
    trustedForwardedHosts: trustedForwardedHosts
    perInstanceConcurrency: perInstanceConcurrency
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    zoneRedundant: zoneRedundant
  }
  // Its first request needs the names to resolve, and what it logs must not be kept for 90 days.
  dependsOn: [
    logRetention
    vaultEndpoint
    cosmosEndpoint
    hostStorageEndpoint
    geoStorageEndpoint
  ]
}

output AZURE_LOCATION string = location
output AZURE_RESOURCE_GROUP string = group.name
output AZURE_TENANT_ID string = subscription().tenantId
output FUNCTION_APP string = app.outputs.name
output API_ADDRESS string = app.outputs.address
