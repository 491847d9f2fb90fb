// The Functions host's own storage, apart from the captures: the app's package, its keys, timer leases and positions.
param name string
param location string
param tags object
param identityName string
param zoneRedundant bool

// Storage Blob Data Owner, as the host demands. It needs queues and tables only for triggers that this app lacks.
var role = 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'

// Spoken of by name, so that a preview can show the roles: what an output of a module names, it leaves out.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  // checkov:skip=CKV_AZURE_206: what it holds is deployed anew, and a lost timer position is caught up with
  sku: { name: zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS' }
  properties: {
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    minimumTlsVersion: 'TLS1_2'
    networkAcls: {
      // checkov:skip=CKV_AZURE_36: the app comes by its private network
      bypass: 'None'
      defaultAction: 'Deny'
    }
    publicNetworkAccess: 'Disabled'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
}

resource package 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' = {
  parent: blobs
  name: 'app-package'
  properties: { publicAccess: 'None' }
}

resource appMayUseIt 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, identity.id, role)
  scope: account
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
  }
}

output id string = account.id
output blobEndpoint string = account.properties.primaryEndpoints.blob
output deploymentContainer string = '${account.properties.primaryEndpoints.blob}${package.name}'
