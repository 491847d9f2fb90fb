// Where captures of one geo lie. Nothing that is switched off here may be switched on: each would keep what the
// service deletes, or carry it out of its geo, and a receipt would be a lie.
@description('By its name in shared/model/geos.json.')
param geo string

@description('Which of the geo\'s accounts it is. The first has no number in its name.')
@minValue(1)
@maxValue(999)
param number int

@description('An Azure region of the geo.')
param region string

@description('Copies within the region only. Every geo-redundant kind writes to a paired region, and some pairs lie in another geo.')
@allowed(['Standard_LRS', 'Standard_ZRS'])
param sku string

@minLength(13)
@maxLength(13)
param token string

param tags object
param identityName string

@minValue(3)
@maxValue(30)
param retentionDays int

param allowedIpRanges array

var geos = loadJsonContent('../../shared/model/geos.json')
// Storage Blob Data Contributor: creates, lists and deletes containers too.
var role = 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'

// Spoken of by name, so that a preview can show the roles: what an output of a module names, it leaves out.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource setupReader 'Microsoft.Authorization/roleDefinitions@2022-04-01' existing = {
  name: guid(resourceGroup().id, 'setup-reader')
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  // checkov:skip=CKV_AZURE_43: 2, at most 4, 13 and at most 3 characters
  name: 'st${toLower(geos[geo].code)}${token}${number == 1 ? '' : number}'
  // P3. A region of another geo stops the deployment.
  location: contains(geos[geo].regions, region) ? region : fail('The region is not one of the geo.')
  tags: union(tags, { geo: geo })
  kind: 'StorageV2'
  // checkov:skip=CKV_AZURE_206: replication to another region may leave the geo (P3)
  sku: { name: sku }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    allowedCopyScope: 'AAD'
    defaultToOAuthAuthentication: true
    encryption: {
      keySource: 'Microsoft.Storage'
      requireInfrastructureEncryption: true
      services: {
        blob: { enabled: true, keyType: 'Account' }
      }
    }
    isHnsEnabled: false
    isLocalUserEnabled: false
    isNfsV3Enabled: false
    isSftpEnabled: false
    minimumTlsVersion: 'TLS1_2'
    networkAcls: {
      // The lifecycle rule acts from outside: without this Azure may refuse it, and the backstop would be none. Whoever
      // else comes so needs a role, and only the app has one.
      bypass: 'AzureServices'
      defaultAction: 'Deny'
      ipRules: [for each in allowedIpRanges: { action: 'Allow', value: each }]
      virtualNetworkRules: []
    }
    publicNetworkAccess: empty(allowedIpRanges) ? 'Disabled' : 'Enabled'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    changeFeed: { enabled: false }
    containerDeleteRetentionPolicy: { enabled: false }
    deleteRetentionPolicy: { enabled: false }
    isVersioningEnabled: false
    restorePolicy: { enabled: false }
  }
}

// The backstop behind the purge and never the promise: it may start a day late, has no bound on finishing, and leaves
// empty containers behind.
resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-06-01' = {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'retention'
          type: 'Lifecycle'
          enabled: true
          definition: {
            actions: {
              baseBlob: {
                delete: { daysAfterCreationGreaterThan: retentionDays }
              }
              snapshot: {
                delete: { daysAfterCreationGreaterThan: retentionDays }
              }
              version: {
                delete: { daysAfterCreationGreaterThan: retentionDays }
              }
            }
            filters: {
              blobTypes: ['blockBlob', 'appendBlob']
            }
          }
        }
      ]
    }
  }
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

resource appMaySeeHowItIsSetUp 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(account.id, identity.id, setupReader.id)
  scope: account
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: setupReader.id
  }
}

// No diagnostic settings: storage logs hold full addresses and callers of every capture. Whoever needs them for a while
// keeps them in the geo and for less than 30 days.

output id string = account.id
output blobEndpoint string = account.properties.primaryEndpoints.blob
