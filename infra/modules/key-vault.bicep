// The key that signs receipts (P6); it never leaves the vault.
param name string
param location string
param tags object
param identityName string
param allowedIpRanges array

// Spoken of by name, so that a preview can show the roles: what an output of a module names, it leaves out.
resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: identityName
}

// Soft delete and purge protection keep keys, never customer data: the vault holds nothing else. A receipt must stay
// verifiable, so here, and nowhere else, keeping is right.
resource vault 'Microsoft.KeyVault/vaults@2025-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: subscription().tenantId
    sku: { family: 'A', name: 'premium' }
    enablePurgeProtection: true
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    enabledForDeployment: false
    enabledForDiskEncryption: false
    enabledForTemplateDeployment: false
    networkAcls: {
      // The deployment itself makes the key from outside the private network.
      bypass: 'AzureServices'
      defaultAction: 'Deny'
      ipRules: [for each in allowedIpRanges: { value: each }]
    }
    // CKV_AZURE_189 (in checkov.yaml): disabled, unless operators' addresses are named
    publicNetworkAccess: empty(allowedIpRanges) ? 'Disabled' : 'Enabled'
  }
}

// No expiry: an expired key signs nothing, and then no deletion could be finished. Rotation replaces it every year; the
// old versions stay, so that old receipts can be verified.
resource key 'Microsoft.KeyVault/vaults/keys@2025-05-01' = {
  parent: vault
  name: 'receipts'
  properties: {
    // checkov:skip=CKV_AZURE_40: see above
    kty: 'EC-HSM'
    curveName: 'P-256'
    keyOps: ['sign', 'verify']
    rotationPolicy: {
      lifetimeActions: [
        {
          action: { type: 'rotate' }
          trigger: { timeAfterCreate: 'P1Y' }
        }
      ]
    }
  }
}

// Key Vault Crypto User could change and back up the key as well, so a role of our own.
resource signer 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'receipt-signer')
  properties: {
    roleName: 'Receipt signer of ${resourceGroup().name} ${uniqueString(resourceGroup().id)}'
    description: 'Reads the public half of a key and signs with it.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: []
        notActions: []
        dataActions: [
          'Microsoft.KeyVault/vaults/keys/read'
          'Microsoft.KeyVault/vaults/keys/sign/action'
        ]
        notDataActions: []
      }
    ]
  }
}

resource appMaySign 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(key.id, identity.id, signer.id)
  scope: key
  properties: {
    principalId: identity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: signer.id
  }
}

output id string = vault.id
// Without a version: the app asks at each signing which is current.
output receiptKey string = key.properties.keyUri
