// Whom the app is to every store: there are no keys.
param name string
param location string
param tags object

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: name
  location: location
  tags: tags
}

// For the posture check: Storage Blob Data Contributor shows neither how an account is set up nor of what kind it is.
resource setupReader 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(resourceGroup().id, 'setup-reader')
  properties: {
    // A tenant has each name once, and another subscription may have a resource group of this name.
    roleName: 'Storage setup reader of ${resourceGroup().name} ${uniqueString(resourceGroup().id)}'
    description: 'Reads the kind of a storage account and the properties of its blob service.'
    type: 'CustomRole'
    assignableScopes: [resourceGroup().id]
    permissions: [
      {
        actions: [
          'Microsoft.Storage/storageAccounts/blobServices/read'
          'Microsoft.Storage/storageAccounts/blobServices/getInfo/action'
        ]
        notActions: []
        dataActions: []
        notDataActions: []
      }
    ]
  }
}

output id string = identity.id
output clientId string = identity.properties.clientId
