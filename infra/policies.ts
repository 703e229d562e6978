/**
 * Policies as code: what no stack may make, whoever writes it. Plain functions over a resource's inputs, so that tests and the policy pack
 * (`policy/`) ask the same ones.
 */
import { type Grant, grants } from "./iam.ts"
import * as names from "./names.ts"
import type { Captured, CapturedStack } from "./testing/capture.ts"

export interface Policy {
  readonly name: string
  readonly description: string
  /** What is wrong with this resource, or nothing. */
  readonly violation: (resource: Pick<Captured, "type" | "inputs" | "protect">) => string | undefined
}

const at = (value: unknown, path: string): unknown =>
  path
    .split(".")
    .reduce<unknown>(
      (found, key) =>
        typeof found === "object" && found !== null ? (found as Record<string, unknown>)[key] : undefined,
      value
    )

const of = (
  type: RegExp,
  name: string,
  description: string,
  violation: (inputs: Captured["inputs"], type: string, protect: boolean) => string | undefined
): Policy => ({
  name,
  description,
  violation: (resource) =>
    type.test(resource.type) ? violation(resource.inputs, resource.type, resource.protect) : undefined
})

const SQL = /^gcp:sql\/databaseInstance:/
const BUCKET = /^gcp:storage\/bucket:/
const CLUSTER = /^gcp:container\/cluster:/
const IAM = /IamMember|IAMMember|IamBinding|IAMBinding/
/** Resources that Google lets bear labels, with the input that holds them. */
const LABELLED: Readonly<Record<string, string>> = {
  "gcp:sql/databaseInstance:DatabaseInstance": "settings.userLabels",
  "gcp:container/cluster:Cluster": "resourceLabels",
  "gcp:storage/bucket:Bucket": "labels",
  "gcp:artifactregistry/repository:Repository": "labels",
  "gcp:kms/cryptoKey:CryptoKey": "labels",
  "gcp:secretmanager/secret:Secret": "labels",
  "gcp:cloudrunv2/service:Service": "labels",
  "gcp:compute/globalAddress:GlobalAddress": "labels",
  "gcp:compute/globalForwardingRule:GlobalForwardingRule": "labels",
  "gcp:bigquery/dataset:Dataset": "labels"
}
const REGIONS = [names.region, names.replicaRegion, "global"]

const isProd = (inputs: Captured["inputs"]) => String(inputs["project"]).endsWith("-prod")

export const policies: ReadonlyArray<Policy> = [
  of(SQL, "private-database", "A database has no public address", ({ settings }) =>
    at(settings, "ipConfiguration.ipv4Enabled") === false ? undefined : "has a public address"
  ),
  of(SQL, "encrypted-connections", "A database takes encrypted connections only", ({ settings }) =>
    /ENCRYPTED_ONLY|TRUSTED/.test(String(at(settings, "ipConfiguration.sslMode")))
      ? undefined
      : "takes plain connections"
  ),
  of(SQL, "recoverable", "A primary can be restored to any second", ({ masterInstanceName, settings }) =>
    masterInstanceName !== undefined || at(settings, "backupConfiguration.pointInTimeRecoveryEnabled") === true
      ? undefined
      : "has no point-in-time recovery"
  ),
  of(SQL, "own-key-of-its-region", "A database is encrypted with a key of ours, of the region it is in", (inputs) => {
    const key = String(inputs["encryptionKeyName"] ?? "")
    if (key === "") return "is encrypted with a key that is not ours"
    return key.includes(`/locations/${String(inputs["region"])}/`) ? undefined : `has a key of another region: ${key}`
  }),
  of(SQL, "highly-available", "The primary of prod survives the loss of a zone", (inputs) =>
    !isProd(inputs) ||
    inputs["masterInstanceName"] !== undefined ||
    at(inputs["settings"], "availabilityType") === "REGIONAL"
      ? undefined
      : "is in one zone"
  ),
  of(
    new RegExp(`${SQL.source}|${CLUSTER.source}`),
    "deletion-protection",
    "What holds data or work in prod refuses deletion",
    (inputs, _, protect) =>
      !isProd(inputs) || (inputs["deletionProtection"] === true && protect)
        ? undefined
        : "can be deleted by one command"
  ),
  of(/^gcp:kms\/cryptoKey:/, "protected-keys", "A key is never destroyed by a stack", (_, __, protect) =>
    protect ? undefined : "is not protected: without it, what it encrypted is lost"
  ),
  of(BUCKET, "no-public-buckets", "No bucket can become public", (inputs) =>
    inputs["publicAccessPrevention"] === "enforced" && inputs["uniformBucketLevelAccess"] === true
      ? undefined
      : "can be made public, or has rights per object"
  ),
  of(CLUSTER, "private-cluster", "Neither nodes nor control plane have public addresses", (inputs) =>
    at(inputs, "privateClusterConfig.enablePrivateNodes") === true &&
    at(inputs, "controlPlaneEndpointsConfig.ipEndpointsConfig.enabled") === false
      ? undefined
      : "has public addresses"
  ),
  of(CLUSTER, "attested-images", "A cluster runs attested images only", (inputs) =>
    at(inputs, "binaryAuthorization.evaluationMode") === "PROJECT_SINGLETON_POLICY_ENFORCE"
      ? undefined
      : "runs any image"
  ),
  of(
    /^gcp:binaryauthorization\/policy:/,
    "attestation-required",
    "Binary Authorization asks for an attestation",
    (inputs) =>
      at(inputs, "defaultAdmissionRule.evaluationMode") === "REQUIRE_ATTESTATION" &&
      at(inputs, "defaultAdmissionRule.enforcementMode") === "ENFORCED_BLOCK_AND_AUDIT_LOG"
        ? undefined
        : "admits images without one"
  ),
  of(IAM, "no-basic-roles", "Nobody has a basic role", ({ role }) =>
    /^roles\/(owner|editor|viewer)$/.test(String(role)) ? `grants ${String(role)}` : undefined
  ),
  of(IAM, "no-wildcard-members", "No right is everybody's", ({ member, members }) =>
    /all(Authenticated)?Users|^domain:/.test([member, members].flat().join())
      ? `grants to ${String(member)}`
      : undefined
  ),
  of(
    /serviceaccount\/key:/,
    "no-keys",
    "Accounts have no keys",
    () => "is a key that can be stolen; use workload identity"
  ),
  of(/./, "approved-regions", "Everything is in an approved region", ({ region, location }) => {
    const place = String(region ?? location ?? names.region).replace(/-[a-z]$/, "")
    return REGIONS.includes(place) ? undefined : `is in ${place}; approved are ${REGIONS.join(", ")}`
  }),
  of(/./, "labels", "What is paid for says what it is for", (inputs, type) => {
    const where = LABELLED[type]
    if (where === undefined) return undefined
    const labels = (at(inputs, where) ?? {}) as Record<string, unknown>
    const missing = ["app", "env", "component", "tenant_tier"].filter((key) => labels[key] === undefined)
    return missing.length === 0 ? undefined : `has no label ${missing.join(", ")}`
  }),
  of(/^gcp:compute\/sSLPolicy:/, "modern-tls", "TLS 1.2 at least", ({ minTlsVersion }) =>
    /TLS_1_[23]/.test(String(minTlsVersion)) ? undefined : "takes older TLS"
  ),
  of(
    /^gcp:cloudrunv2\/service:/,
    "behind-the-balancer",
    "The edge is reached through the load balancer alone",
    ({ ingress }) =>
      ingress === "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" ? undefined : "can be reached around Cloud Armor"
  ),
  of(
    /^gcp:compute\/securityPolicy:/,
    "limits-that-tell-apart",
    "Cloud Armor limits by nothing that a sender makes up or that all senders share",
    ({ rules }) => {
      // The first 128 bytes of a header are the key: of a token, what the issuer writes into each of them.
      const keys = (rules as ReadonlyArray<unknown>).flatMap((rule) => {
        const options = at(rule, "rateLimitOptions")
        const configs = (at(options, "enforceOnKeyConfigs") ?? []) as ReadonlyArray<unknown>
        return [
          [at(options, "enforceOnKey"), at(options, "enforceOnKeyName")],
          ...configs.map((one) => [at(one, "enforceOnKeyType"), at(one, "enforceOnKeyName")])
        ]
      })
      const header = keys.find(([type]) => type === "HTTP_HEADER" || type === "HTTP_COOKIE")
      return header === undefined
        ? undefined
        : `limits by the header or cookie ${String(header[1])}, which nobody has verified`
    }
  ),
  of(/^gcp:compute\/backendService:/, "armored", "Every backend stands behind Cloud Armor", ({ securityPolicy }) =>
    securityPolicy === undefined ? "has no security policy" : undefined
  )
]

export interface Violation {
  readonly policy: string
  /** `prod-instance (gcp:sql/databaseInstance:DatabaseInstance)`. */
  readonly where: string
  readonly what: string
}

export interface GrantPolicy {
  readonly name: string
  readonly description: string
  readonly violation: (grant: Grant) => string | undefined
}

/** What the rights of certain accounts must never hold. */
export const grantPolicies: ReadonlyArray<GrantPolicy> = [
  {
    name: "deployer-reads-no-secrets",
    description: "Deployers read no Secret",
    violation: ({ who, role }) =>
      /^agents-deployer-/.test(who) && /secret|container\.(admin|developer)/i.test(role)
        ? "could read Secrets"
        : undefined
  },
  {
    name: "pull-requests-change-nothing",
    description: "Builds of pull requests write logs and comment",
    violation: ({ who, role, on }) =>
      /^agents-checker@/.test(who) &&
      !/^roles\/(logging\.logWriter|secretmanager\.secretAccessor)$/.test(role) &&
      !(role === "roles/storage.objectViewer" && on === `bucket ${names.cacheBucket}`)
        ? "would let a pull request do more than write logs and comment"
        : undefined
  }
]

export const violations = (stacks: ReadonlyArray<CapturedStack>): ReadonlyArray<Violation> => [
  ...stacks.flatMap(({ resources }) =>
    resources.flatMap((resource) =>
      policies.flatMap(({ name, violation }) => {
        const what = violation(resource)
        return what === undefined ? [] : [{ policy: name, where: `${resource.name} (${resource.type})`, what }]
      })
    )
  ),
  ...grants(stacks).flatMap((grant) =>
    grantPolicies.flatMap(({ name, violation }) => {
      const what = violation(grant)
      return what === undefined ? [] : [{ policy: name, where: `${grant.who}: ${grant.role} on ${grant.on}`, what }]
    })
  )
]
