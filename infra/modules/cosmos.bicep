// The ledger. It holds no customer content (P8), so it may be in another geo than the captures.
param name string
param location string
param tags object
param identityName string
param allowedIpRanges array
param operatorIds array
param zoneRedundant bool

@description('Request units a second, shared by the containers; it scales down to a tenth.')
@minValue(1000)
param maxThroughput int = 4000

var database = 'data-sharing'
// Cosmos DB Built-in Data Contributor.
var role = '00000000-0000-0000-0000-000000000002'

// What shared/stores/cosmos/schema.py says, and a test compares: no more indexes than the queries need, and no time to live,
// because the ledger is never deleted.
var containers = [
  {
    name: 'tenants'
    partitionKey: '/tenantId'
    indexingPolicy: {
      indexingMode: 'consistent'
      automatic: true
      includedPaths: [
        { path: '/tenantId/?' }
        { path: '/kind/?' }
        { path: '/sequence/?' }
        { path: '/enrollmentId/?' }
        { path: '/notice/?' }
        { path: '/enrollment/storageAccount/?' }
      ]
      excludedPaths: [{ path: '/*' }]
      compositeIndexes: []
    }
  }
  {
    name: 'deletions'
    partitionKey: '/tenantId'
    indexingPolicy: {
      indexingMode: 'consistent'
      automatic: true
      includedPaths: [
        { path: '/tenantId/?' }
        { path: '/enrollmentId/?' }
        { path: '/sequence/?' }
        { path: '/storageAccount/?' }
        { path: '/status/?' }
        { path: '/notBefore/?' }
        { path: '/purgedAt/?' }
        { path: '/deadline/?' }
        { path: '/retryAt/?' }
      ]
      excludedPaths: [{ path: '/*' }]
      compositeIndexes: []
    }
  }
  {
    name: 'access'
    partitionKey: '/tenantId'
    indexingPolicy: {
      indexingMode: 'consistent'
      automatic: true
      includedPaths: [
        { path: '/kind/?' }
        { path: '/sequence/?' }
        { path: '/requestedBy/?' }
        { path: '/requestedAt/?' }
        { path: '/expiresAt/?' }
        { path: '/unfinished/?' }
        { path: '/grantId/?' }
        { path: '/enrollmentId/?' }
        { path: '/action/?' }
      ]
      excludedPaths: [{ path: '/*' }]
      compositeIndexes: []
    }
  }
  {
    name: 'operations'
    partitionKey: '/kind'
    indexingPolicy: {
      indexingMode: 'consistent'
      automatic: true
      includedPaths: []
      excludedPaths: [{ path: '/*' }]
      compositeIndexes: []
    }
  }
  {
    name: 'leases'
    partitionKey: '/id'
    indexingPolicy: {
      indexingMode: 'consistent'
      automatic: true
    }
  }
]

// Spoken of by name, so that a preview can show the roles: what an output of a module names, it leaves out.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

resource account 'Microsoft.DocumentDB/databaseAccounts@2025-10-15' = {
  name: name
  location: location
  tags: tags
  kind: 'GlobalDocumentDB'
  properties: {
    databaseAccountOfferType: 'Standard'
    backupPolicy: {
      type: 'Continuous'
      continuousModeProperties: { tier: 'Continuous7Days' }
    }
    // P2 rests on both (D5): a read that starts after a commit must see it.
    consistencyPolicy: { defaultConsistencyLevel: 'Strong' }
    enableMultipleWriteLocations: false
    locations: [
      {
        locationName: location
        failoverPriority: 0
        isZoneRedundant: zoneRedundant
      }
    ]
    disableKeyBasedMetadataWriteAccess: true
    disableLocalAuth: true
    enableAutomaticFailover: false
    ipRules: [for each in allowedIpRanges: { ipAddressOrRange: each }]
    isVirtualNetworkFilterEnabled: false
    minimalTlsVersion: 'Tls12'
    networkAclBypass: 'None'
    // checkov:skip=CKV_AZURE_101: disabled, unless operators' addresses are named
    publicNetworkAccess: empty(allowedIpRanges) ? 'Disabled' : 'Enabled'
  }
}

resource sqlDatabase 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases@2025-10-15' = {
  parent: account
  name: database
  properties: {
    resource: { id: database }
    options: {
      autoscaleSettings: { maxThroughput: maxThroughput }
    }
  }
}

resource sqlContainers 'Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers@2025-10-15' = [for each in containers: {
  parent: sqlDatabase
  name: each.name
  properties: {
    resource: {
      id: each.name
      partitionKey: {
        kind: 'Hash'
        paths: [each.partitionKey]
        version: 2
      }
      indexingPolicy: each.indexingPolicy
    }
  }
}]

// For the account, because the posture check reads how the account and its containers are set up. The role has data actions
// only: no rights over containers, throughput or the account itself.
resource appMayUseIt 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-10-15' = {
  parent: account
  name: guid(account.id, identity.id, role)
  properties: {
    principalId: identity.properties.principalId
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${role}'
    scope: account.id
  }
}

// The same for people, for the repairs of docs/operations.md. Whoever has it can change the ledger: name nobody for longer than
// a repair takes.
resource operatorsMayRepair 'Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments@2025-10-15' = [for each in operatorIds: {
  parent: account
  name: guid(account.id, each, role)
  properties: {
    principalId: each
    roleDefinitionId: '${account.id}/sqlRoleDefinitions/${role}'
    scope: account.id
  }
}]

output id string = account.id
output endpoint string = account.properties.documentEndpoint
