import type { Captured } from "./capture.ts"

/**
 * Mistakes that people make, each with the check that catches it. `edit` changes the text of the inputs of the first resource of that
 * type. None of them is seen by mocks, which take any input; `tsc` sees those that are typed in place (`tsc: true`).
 */
export interface Mistake {
  readonly what: string
  readonly type: string
  readonly edit: readonly [from: string, to: string]
  /** Only a resource whose inputs contain this too. */
  readonly where?: string
  /** `schema`, `provider`, or the policy's name. */
  readonly by: string
  readonly says: RegExp
  readonly tsc: boolean
}

const mistake = (
  what: string,
  type: string,
  from: string,
  to: string,
  by: string,
  says: RegExp,
  tsc = false
): Mistake => ({ what, type, edit: [from, to], by, says, tsc })

/** The resource that a mistake is made in, and its inputs with the mistake. */
export const made = (
  all: ReadonlyArray<Captured>,
  { edit, type, where }: Mistake
): { readonly resource: Captured; readonly inputs: Captured["inputs"] } => {
  const resource = all.find((one) => {
    const text = JSON.stringify(one.inputs)
    return one.type.includes(type) && text.includes(edit[0]) && text.includes(where ?? "")
  })
  if (resource === undefined) throw new Error(`No ${type} has ${edit[0]}: this mistake can't be made any more.`)
  return { resource, inputs: JSON.parse(JSON.stringify(resource.inputs).replace(edit[0], edit[1])) }
}

export const mistakes: ReadonlyArray<Mistake> = [
  mistake(
    "a required argument left out",
    "sql/databaseInstance:",
    '"databaseVersion":"POSTGRES_16",',
    "",
    "schema",
    /databaseVersion: is missing/,
    true
  ),
  mistake(
    "a documented value misspelt: how conditions combine",
    "monitoring/alertPolicy:",
    '"combiner":"OR"',
    '"combiner":"XOR"',
    "schema",
    /none of/
  ),
  mistake(
    "a dashboard that is no JSON",
    "monitoring/dashboard:",
    '"dashboardJson":"{',
    '"dashboardJson":"',
    "provider",
    /JSON/
  ),
  mistake(
    "a nested property misspelt",
    "sql/databaseInstance:",
    '"pointInTimeRecoveryEnabled"',
    '"pointInTimeRecoveryEnable"',
    "schema",
    /no such property/,
    true
  ),
  mistake(
    "a property misspelt at the top, which the compiler sees in literals only",
    "serviceaccount/account:",
    '"accountId"',
    '"accountID"',
    "schema",
    /accountID: no such property/,
    true
  ),
  mistake(
    "a nested required property left out",
    "sql/databaseInstance:",
    '"tier":"db-custom-2-7680",',
    "",
    "schema",
    /settings.tier: is missing/,
    true
  ),
  mistake(
    "a number where a text belongs",
    "sql/databaseInstance:",
    '"value":"on"',
    '"value":true',
    "schema",
    /must be a string/,
    true
  ),
  mistake(
    "a text where a switch belongs",
    "compute/network:",
    '"autoCreateSubnetworks":false',
    '"autoCreateSubnetworks":"no"',
    "schema",
    /must be a boolean/,
    true
  ),
  mistake(
    "an object where a list belongs",
    "compute/routerNat:",
    '"minPortsPerVm":256',
    '"minPortsPerVm":256,"rules":{}',
    "schema",
    /must be a list/,
    true
  ),
  mistake(
    "the purpose of a key misspelt",
    "kms/cryptoKey:",
    '"ASYMMETRIC_SIGN"',
    '"ASYMETRIC_SIGN"',
    "provider",
    /purpose of a key/
  ),
  mistake(
    "a documented value misspelt: evaluation of attestations",
    "binaryauthorization/policy:",
    '"REQUIRE_ATTESTATION"',
    '"REQUIRE_ATTESTATIONS"',
    "schema",
    /none of/
  ),
  mistake(
    "a documented value misspelt: how NAT gets addresses",
    "compute/routerNat:",
    '"MANUAL_ONLY"',
    '"MANUAL"',
    "schema",
    /none of/
  ),
  mistake(
    "node pools beside Autopilot",
    "container/cluster:",
    '"enableAutopilot":true',
    '"enableAutopilot":true,"initialNodeCount":1',
    "provider",
    /exclude one another/
  ),
  mistake(
    "a target with two runtimes",
    "clouddeploy/target:",
    '"gke":',
    '"run":{"location":"x"},"gke":',
    "provider",
    /exactly one of gke/
  ),
  mistake("a usage misspelt", "clouddeploy/target:", '"RENDER"', '"RENDERR"', "provider", /known usage/),
  mistake(
    "a trigger with two descriptions of its build",
    "cloudbuild/trigger:",
    '"filename":',
    '"build":{"steps":[]},"filename":',
    "provider",
    /exactly one of filename/
  ),
  mistake(
    "an account id too short",
    "serviceaccount/account:",
    '"accountId":"agents-automation"',
    '"accountId":"auto"',
    "provider",
    /accountId/
  ),
  mistake(
    "an account id with a capital",
    "serviceaccount/account:",
    '"accountId":"agents-nodes"',
    '"accountId":"Agents-nodes"',
    "provider",
    /accountId/
  ),
  mistake(
    "a range that does not begin at its address",
    "compute/subnetwork:",
    "10.42.0.0/20",
    "10.42.1.0/20",
    "provider",
    /ipCidrRange/
  ),
  mistake(
    "a range with an impossible size",
    "compute/subnetwork:",
    "10.44.0.0/14",
    "10.44.0.0/40",
    "provider",
    /ipCidrRange/
  ),
  mistake(
    "memory that Cloud SQL does not offer",
    "sql/databaseInstance:",
    "db-custom-2-7680",
    "db-custom-2-7700",
    "provider",
    /settings.tier/
  ),
  mistake(
    "an odd number of processors",
    "sql/databaseInstance:",
    "db-custom-2-7680",
    "db-custom-3-7680",
    "provider",
    /settings.tier/
  ),
  mistake("a time of day that does not exist", "sql/databaseInstance:", '"03:00"', '"25:00"', "provider", /startTime/),
  mistake(
    "an action that Cloud Armor does not have",
    "compute/securityPolicy:",
    '"deny(403)"',
    '"deny(418)"',
    "provider",
    /action/
  ),
  mistake(
    "two rules of one priority",
    "compute/securityPolicy:",
    '"priority":101',
    '"priority":100',
    "provider",
    /there twice/
  ),
  mistake(
    "a limit by the credential's header: its first 128 bytes are the same for everybody",
    "compute/securityPolicy:",
    '"enforceOnKey":"IP"',
    '"enforceOnKey":"HTTP_HEADER","enforceOnKeyName":"authorization"',
    "limits-that-tell-apart",
    /nobody has verified/
  ),
  mistake(
    "a load balancer of two kinds",
    "compute/globalForwardingRule:",
    '"EXTERNAL_MANAGED"',
    '"EXTERNAL"',
    "provider",
    /loadBalancingScheme/
  ),
  mistake(
    "a member without its kind",
    "projects/iAMMember:",
    '"member":"serviceAccount:',
    '"member":"',
    "provider",
    /KIND:NAME/
  ),
  mistake("a role without its prefix", "projects/iAMMember:", '"role":"roles/', '"role":"', "provider", /role/),
  mistake(
    "endpoint-independent NAT with dynamic ports",
    "compute/routerNat:",
    '"enableEndpointIndependentMapping":false',
    '"enableEndpointIndependentMapping":true',
    "provider",
    /exclude/
  ),
  mistake("a key that turns every hour", "kms/cryptoKey:", '"7776000s"', '"3600s"', "provider", /a day at least/),
  mistake(
    "a request that may last longer than Cloud Run allows",
    "cloudrunv2/service:",
    '"60s"',
    '"7200s"',
    "provider",
    /3600s/
  ),
  mistake(
    "a public database",
    "sql/databaseInstance:",
    '"ipv4Enabled":false',
    '"ipv4Enabled":true',
    "private-database",
    /public address/
  ),
  mistake(
    "a database that takes plain connections",
    "sql/databaseInstance:",
    '"ENCRYPTED_ONLY"',
    '"ALLOW_UNENCRYPTED_AND_ENCRYPTED"',
    "encrypted-connections",
    /plain/
  ),
  mistake(
    "a replica with the key of the primary's region",
    "sql/databaseInstance:",
    "locations/us-east1",
    "locations/us-central1",
    "own-key-of-its-region",
    /another region/
  ),
  mistake(
    "a database with Google's own key",
    "sql/databaseInstance:",
    '"encryptionKeyName"',
    '"rootPassword"',
    "own-key-of-its-region",
    /not ours/
  ),
  mistake(
    "no point-in-time recovery",
    "sql/databaseInstance:",
    '"pointInTimeRecoveryEnabled":true',
    '"pointInTimeRecoveryEnabled":false',
    "recoverable",
    /point-in-time/
  ),
  {
    ...mistake("prod in one zone", "sql/databaseInstance:", '"REGIONAL"', '"ZONAL"', "highly-available", /one zone/),
    where: '"project":"effect-agents-example-prod"'
  },
  {
    ...mistake(
      "prod's cluster may be deleted",
      "container/cluster:",
      '"deletionProtection":true',
      '"deletionProtection":false',
      "deletion-protection",
      /one command/
    ),
    where: '"project":"effect-agents-example-prod"'
  },
  mistake(
    "a bucket that can become public",
    "storage/bucket:",
    '"enforced"',
    '"inherited"',
    "no-public-buckets",
    /public/
  ),
  mistake(
    "nodes with public addresses",
    "container/cluster:",
    '"enablePrivateNodes":true',
    '"enablePrivateNodes":false',
    "private-cluster",
    /public/
  ),
  mistake(
    "a cluster that runs any image",
    "container/cluster:",
    "PROJECT_SINGLETON_POLICY_ENFORCE",
    "DISABLED",
    "attested-images",
    /any image/
  ),
  mistake(
    "Binary Authorization that only watches",
    "binaryauthorization/policy:",
    "ENFORCED_BLOCK_AND_AUDIT_LOG",
    "DRYRUN_AUDIT_LOG_ONLY",
    "attestation-required",
    /without one/
  ),
  mistake(
    "a basic role",
    "projects/iAMMember:",
    "roles/clouddeploy.releaser",
    "roles/editor",
    "no-basic-roles",
    /editor/
  ),
  mistake(
    "a right for everybody",
    "projects/iAMMember:",
    '"member":"serviceAccount:',
    '"member":"allUsers:',
    "no-wildcard-members",
    /allUsers/
  ),
  mistake(
    "a resource in another region",
    "compute/subnetwork:",
    '"region":"us-central1"',
    '"region":"asia-east1"',
    "approved-regions",
    /asia-east1/
  ),
  mistake("a resource without its labels", "storage/bucket:", '"tenant_tier"', '"tier"', "labels", /tenant_tier/),
  mistake("old TLS", "compute/sSLPolicy:", "TLS_1_2", "TLS_1_0", "modern-tls", /older TLS/),
  mistake(
    "an edge reached around the balancer",
    "cloudrunv2/service:",
    "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
    "INGRESS_TRAFFIC_ALL",
    "behind-the-balancer",
    /around/
  ),
  mistake(
    "a backend without Cloud Armor",
    "compute/backendService:",
    '"securityPolicy"',
    '"description"',
    "armored",
    /no security policy/
  )
]
