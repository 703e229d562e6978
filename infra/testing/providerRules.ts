/** What Google or its provider refuses, that no type says: found only at deployment otherwise. As data: one line a rule. */

type Inputs = Readonly<Record<string, unknown>>

export const at = (value: unknown, path: string): ReadonlyArray<unknown> => {
  if (path === "") return value === undefined || value === null ? [] : [value]
  const [head, ...rest] = path.split(".")
  if (head === "*") return Array.isArray(value) ? value.flatMap((item) => at(item, rest.join("."))) : []
  return typeof value === "object" && value !== null
    ? at((value as Record<string, unknown>)[head!], rest.join("."))
    : []
}

const cidr = (value: string): boolean => {
  const [, address, bits] = /^(\d+\.\d+\.\d+\.\d+)\/(\d+)$/.exec(value) ?? []
  if (address === undefined) return false
  const octets = address.split(".").map(Number)
  const number = octets.reduce((sum, octet) => sum * 256 + octet, 0)
  const size = 2 ** (32 - Number(bits))
  return octets.every((octet) => octet <= 255) && Number(bits) <= 32 && number % size === 0
}

const json = (value: string): boolean => {
  try {
    JSON.parse(value)
    return true
  } catch {
    return false
  }
}

type Rule = readonly [type: RegExp, kind: "conflict" | "exactly-one" | "requires", ...paths: ReadonlyArray<string>]
/** Between properties of one resource. */
export const between: ReadonlyArray<Rule> = [
  [/container\/cluster:/, "conflict", "enableAutopilot", "nodePools"],
  [/container\/cluster:/, "conflict", "enableAutopilot", "initialNodeCount"],
  [/container\/cluster:/, "conflict", "enableAutopilot", "removeDefaultNodePool"],
  [/container\/cluster:/, "conflict", "enableAutopilot", "nodeConfig"],
  [
    /container\/cluster:/,
    "conflict",
    "ipAllocationPolicy.clusterSecondaryRangeName",
    "ipAllocationPolicy.clusterIpv4CidrBlock"
  ],
  [/clouddeploy\/target:/, "exactly-one", "gke", "run", "anthosCluster", "multiTarget", "customTarget"],
  [/cloudbuild\/trigger:/, "exactly-one", "filename", "build", "gitFileSource"],
  [/cloudbuild\/trigger:/, "exactly-one", "repositoryEventConfig", "sourceToBuild", "github", "triggerTemplate"],
  [/sql\/user:/, "conflict", "password", "passwordWo"],
  [
    /sql\/databaseInstance:/,
    "conflict",
    "masterInstanceName",
    "settings.backupConfiguration.pointInTimeRecoveryEnabled"
  ],
  [/compute\/uRLMap:/, "exactly-one", "defaultService", "defaultUrlRedirect"],
  [/compute\/routerNat:/, "conflict", "enableDynamicPortAllocation", "enableEndpointIndependentMapping"],
  [/secretmanager\/secret:/, "exactly-one", "replication.auto", "replication.userManaged"],
  [/compute\/targetHttpsProxy:/, "exactly-one", "certificateMap", "sslCertificates"],
  [/compute\/address:/, "requires", "purpose", "subnetwork"],
  [
    /binaryauthorization\/policy:/,
    "requires",
    "defaultAdmissionRule.requireAttestationsBies",
    "defaultAdmissionRule.evaluationMode"
  ]
]

type ValueRule = readonly [type: RegExp, path: string, what: string, holds: (value: string) => boolean]
const like = (pattern: RegExp) => (value: string) => pattern.test(value)
const among =
  (...values: ReadonlyArray<string>) =>
  (value: string) =>
    values.includes(value)
const ACCOUNT = /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/

/** On values of one property. */
export const values: ReadonlyArray<ValueRule> = [
  [/serviceaccount\/account:/, "accountId", "6 to 30 of a-z, 0-9, -", like(ACCOUNT)],
  [/./, "project", "the id of a project", like(ACCOUNT)],
  [/compute\/subnetwork:/, "ipCidrRange", "a range whose address is its first", cidr],
  [/compute\/subnetwork:/, "secondaryIpRanges.*.ipCidrRange", "a range whose address is its first", cidr],
  [/projects\/iAMCustomRole:/, "roleId", "3 to 64 of letters, digits, _ and .", like(/^[\w.]{3,64}$/)],
  [/projects\/service:/, "service", "NAME.googleapis.com", like(/^[a-z]+\.googleapis\.com$/)],
  [
    /clouddeploy\/target:/,
    "executionConfigs.*.usages.*",
    "a known usage",
    among("RENDER", "DEPLOY", "VERIFY", "PREDEPLOY", "POSTDEPLOY")
  ],
  [/clouddeploy\/target:/, "executionConfigs.*.executionTimeout", "seconds, such as 3600s", like(/^\d+s$/)],
  [/clouddeploy\/automation:/, "rules.*.promoteReleaseRule.wait", "seconds, such as 60s", like(/^\d+s$/)],
  [
    /sql\/databaseInstance:/,
    "settings.tier",
    "a tier of the Enterprise edition, memory a multiple of 256 MB",
    (tier) => {
      const [, , megabytes] = /^db-custom-(1|\d*[02468])-(\d+)$/.exec(tier) ?? []
      return megabytes !== undefined && Number(megabytes) % 256 === 0 && Number(megabytes) >= 3_840
    }
  ],
  [/sql\/databaseInstance:/, "settings.availabilityType", "REGIONAL or ZONAL", among("REGIONAL", "ZONAL")],
  [/sql\/databaseInstance:/, "settings.backupConfiguration.startTime", "HH:MM", like(/^([01]\d|2[0-3]):[0-5]\d$/)],
  [
    /kms\/cryptoKey:/,
    "purpose",
    "the purpose of a key",
    among("ENCRYPT_DECRYPT", "ASYMMETRIC_SIGN", "ASYMMETRIC_DECRYPT", "MAC")
  ],
  [/storage\/bucket:/, "name", "3 to 63 of a-z, 0-9, ., _, -", like(/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/)],
  [
    /kms\/cryptoKey:/,
    "rotationPeriod",
    "a day at least, in seconds",
    (period) => Number(/^(\d+)s$/.exec(period)?.[1]) >= 86_400
  ],
  [/monitoring\/dashboard:/, "dashboardJson", "JSON", json],
  [
    /compute\/securityPolicy:/,
    "rules.*.action",
    "an action of Cloud Armor",
    among("allow", "deny(403)", "deny(404)", "deny(429)", "deny(502)", "throttle", "rate_based_ban", "redirect")
  ],
  [
    /compute\/globalForwardingRule:/,
    "loadBalancingScheme",
    "EXTERNAL_MANAGED, as the rest of this load balancer",
    among("EXTERNAL_MANAGED")
  ],
  [
    /cloudrunv2\/service:/,
    "ingress",
    "an ingress setting",
    like(/^INGRESS_TRAFFIC_(ALL|INTERNAL_ONLY|INTERNAL_LOAD_BALANCER)$/)
  ],
  [
    /cloudrunv2\/service:/,
    "template.timeout",
    "at most 3600s",
    (timeout) => Number(/^(\d+)s$/.exec(timeout)?.[1]) <= 3_600
  ],
  [/cloudscheduler\/job:/, "schedule", "five fields", like(/^(\S+ ){4}\S+$/)],
  [/IamMember|IAMMember/, "member", "KIND:NAME", like(/^(user|serviceAccount|group|principal|principalSet):\S+$/)],
  [
    /IamMember|IAMMember/,
    "role",
    "roles/… or a custom role's path",
    like(/^(roles\/[\w.]+|projects\/[\w-]+\/roles\/[\w.]+)$/)
  ]
]

/** One line a mistake. */
export const providerErrors = (type: string, inputs: Inputs): ReadonlyArray<string> => [
  ...between.flatMap(([pattern, kind, ...paths]) => {
    if (!pattern.test(type)) return []
    const set = paths.filter((path) => at(inputs, path).some((value) => value !== false))
    if (kind === "conflict") return set.length > 1 ? [`${set.join(" and ")} exclude one another`] : []
    if (kind === "exactly-one") return set.length === 1 ? [] : [`exactly one of ${paths.join(", ")} must be set`]
    return set.includes(paths[0]!) && set.length < paths.length
      ? [`${paths[0]} needs ${paths.slice(1).join(", ")}`]
      : []
  }),
  ...values.flatMap(([pattern, path, what, holds]) =>
    pattern.test(type)
      ? at(inputs, path)
          .filter((value) => typeof value !== "string" || !holds(value))
          .map((value) => `${path}: ${JSON.stringify(value)} is not ${what}`)
      : []
  ),
  // Priorities are unique in a policy of Cloud Armor; the second of two is refused.
  ...(/compute\/securityPolicy:/.test(type)
    ? at(inputs, "rules.*.priority")
        .filter((priority, i, priorities) => priorities.indexOf(priority) < i)
        .map((priority) => `rules: the priority ${String(priority)} is there twice`)
    : [])
]
