// Who is told, and when. The metrics timer sends every five minutes; shared/model/metrics.py says what each metric means.
param token string
param location string
param tags object
param workspaceId string
param email string

// Severity 0: a promise is broken. 1: it will be, if nobody acts. 2: something is wrong and is being retried.
// A rule fires when its query finds something; with silence: true, when it finds nothing. Thresholds and what to do then
// are in docs/operations.md. Requests are sampled (host.json): a row of AppRequests stands for ItemCount of them.
var rules = [
  {
    name: 'promise-broken'
    description: 'A promise does not hold.'
    severity: 0
    window: 'PT15M'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.promise.holds" | summarize most = max(Sum) by promise = tostring(Properties.promise) | where most < 1'
  }
  {
    name: 'deletions-overdue'
    description: 'A deletion is past its deadline (P5).'
    severity: 0
    window: 'PT10M'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.deletions.overdue" and Sum > 0'
  }
  {
    name: 'deletion-deadline-near'
    description: 'A deletion that has had a day has a day left, and no receipt (P5).'
    severity: 1
    window: 'PT15M'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.deletions.time_left" | summarize most = max(Sum) by geo = tostring(Properties.geo), account = tostring(Properties.account) | where most < 86400'
  }
  {
    name: 'retention-deadline-near'
    description: 'A day whose purge began hours ago is still stored (P4).'
    severity: 1
    window: 'PT15M'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.retention.time_left" | summarize most = max(Sum) by geo = tostring(Properties.geo), account = tostring(Properties.account) | where most < 10800'
  }
  {
    name: 'job-late'
    description: 'A purge or a sweep has not run for three of its turns (P9).'
    severity: 1
    window: 'PT10M'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.job.age" | extend job = tostring(Properties.job) | where Sum > case(job == "purge", 900, 10800)'
  }
  {
    name: 'findings'
    description: 'A sweep has found something that should not be.'
    severity: 1
    window: 'PT2H'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.findings" | summarize grown = max(Sum) - min(Sum) by Kind = tostring(Properties.kind) | where grown > 0'
  }
  {
    name: 'status-unreadable'
    description: 'The status cannot be read, or nothing is heard of the app at all.'
    severity: 1
    window: 'PT15M'
    silence: true
    query: 'AppMetrics | where Name == "data_sharing.status.readable" and Sum >= 1'
  }
  {
    name: 'geo-unreadable'
    description: 'A storage account or its deletions cannot be read.'
    severity: 1
    window: 'PT15M'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.geo.readable" | summarize most = max(Sum) by geo = tostring(Properties.geo), account = tostring(Properties.account) | where most < 1'
  }
  {
    name: 'items-unreadable'
    description: 'There are deletions, heartbeats or opt-outs that nobody understands (P5, P9).'
    severity: 1
    window: 'PT15M'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.items.unreadable" | summarize least = min(Sum) by geo = tostring(Properties.geo), account = tostring(Properties.account) | where least > 0'
  }
  {
    name: 'feed-lag'
    description: 'An opt-out waits for its deletion: the change feed is not heard (P9).'
    severity: 2
    window: 'PT15M'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.feed.lag" | summarize least = min(Sum) | where least > 900'
  }
  {
    name: 'job-failing'
    description: 'Each purge of half an hour, or each sweep of two hours, has failed.'
    severity: 2
    window: 'PT2H'
    silence: false
    query: 'AppMetrics | where Name == "data_sharing.job.failed" | extend job = tostring(Properties.job) | where job == "sweep" or TimeGenerated > ago(30m) | summarize least = min(Sum) by job, geo = tostring(Properties.geo), account = tostring(Properties.account) | where least > 0'
  }
  {
    name: 'requests-failing'
    description: 'More than one request in twenty is answered with a 5xx.'
    severity: 2
    window: 'PT15M'
    silence: false
    query: 'AppRequests | summarize failed = sumif(ItemCount, ResultCode startswith "5"), total = sum(ItemCount) | where failed > 5 and failed * 20 > total'
  }
]

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'ag-${token}'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'datasharing'
    emailReceivers: [
      {
        name: 'operators'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
  }
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [for rule in rules: {
  name: '${rule.name}-${token}'
  location: location
  tags: tags
  properties: {
    displayName: rule.name
    description: rule.description
    severity: rule.severity
    enabled: true
    scopes: [workspaceId]
    evaluationFrequency: 'PT5M'
    windowSize: rule.window
    criteria: {
      allOf: [
        {
          query: rule.query
          timeAggregation: 'Count'
          operator: rule.silence ? 'LessThan' : 'GreaterThan'
          threshold: rule.silence ? 1 : 0
          failingPeriods: {
            minFailingPeriodsToAlert: 1
            numberOfEvaluationPeriods: 1
          }
        }
      ]
    }
    autoMitigate: true
    // In a new workspace the tables have not been written to yet, so Azure cannot judge a query; tests/infra does.
    skipQueryValidation: true
    actions: { actionGroups: [people.id] }
  }
}]
