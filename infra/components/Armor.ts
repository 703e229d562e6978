/**
 * Cloud Armor: what is turned away before it costs anything.
 *
 * Limits go by address alone. Nothing before Cloud Armor has verified a token, so a header that names a tenant would be whatever the sender
 * wrote; and of a header's value it counts by the first 128 bytes, which are the same in all tokens that one key signed, so a limit
 * by `authorization` would be one for everybody. Tenants and users are limited by the gateways, from verified claims (ADR 0012).
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

/** Google's rule sets, at the level with the fewest false alarms. */
const sets = [
  "scannerdetection-v33-stable",
  "protocolattack-v33-stable",
  "lfi-v33-stable",
  "rce-v33-stable",
  "sqli-v33-stable",
  "xss-v33-stable"
]

export class Armor extends pulumi.ComponentResource {
  readonly selfLink: pulumi.Output<string>
  readonly policyName = "agents"

  constructor(
    name: string,
    args: { readonly environment: names.Environment },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Armor", name, {}, options)
    const project = names.environmentProject(args.environment)
    const everybody = { versionedExpr: "SRC_IPS_V1", config: { srcIpRanges: ["*"] } }
    const policy = new gcp.compute.SecurityPolicy(
      `${name}-armor`,
      {
        project,
        name: this.policyName,
        type: "CLOUD_ARMOR",
        adaptiveProtectionConfig: { layer7DdosDefenseConfig: { enable: true } },
        rules: [
          ...sets.map((set, i) => ({
            action: "deny(403)",
            priority: 100 + i,
            description: `Google's rules ${set}`,
            match: {
              expr: {
                // Not on what people write to agents (POST): talk about SQL and shells is no attack.
                expression: `request.method != 'POST' && evaluatePreconfiguredWaf('${set}', {'sensitivity': 1})`
              }
            }
          })),
          {
            action: "rate_based_ban",
            priority: 200,
            description: "One address: 600 requests a minute; at four times that, ten minutes of nothing",
            match: everybody,
            rateLimitOptions: {
              conformAction: "allow",
              exceedAction: "deny(429)",
              enforceOnKey: "IP",
              rateLimitThreshold: { count: 600, intervalSec: 60 },
              banThreshold: { count: 2_400, intervalSec: 60 },
              banDurationSec: 600
            }
          },
          { action: "allow", priority: 2_147_483_647, description: "Everything else", match: everybody }
        ]
      },
      { parent: this }
    )
    this.selfLink = policy.selfLink
    this.registerOutputs({})
  }
}
