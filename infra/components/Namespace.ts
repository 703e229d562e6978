/**
 * The namespace before its first release: `k8s/platform`, and what no release may hold: where the database is, with which
 * password, and whose tokens are believed.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as k8s from "@pulumi/kubernetes"
import * as pulumi from "@pulumi/pulumi"
import { parseAllDocuments } from "yaml"
import * as names from "../names.ts"
import type { EnvironmentSettings } from "../settings.ts"
import type { Database } from "./Database.ts"
import type { Identities } from "./Identities.ts"

interface PlatformObject {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [field: string]: unknown
}

/** The objects of `k8s/platform`. They are plain: kustomize would add nothing, and Pulumi needs no binary for them. */
export const platformObjects = (folder: string): ReadonlyArray<PlatformObject> =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".yaml") && file !== "kustomization.yaml")
    .sort()
    .flatMap((file) => parseAllDocuments(readFileSync(join(folder, file), "utf8")))
    .map((document) => document.toJS() as PlatformObject)

/** What runners, gateways and hooks of all overlays take together, twice over: a runaway controller stops there. */
const QUOTA = { pods: "60", "requests.cpu": "30", "requests.memory": "60Gi", "services.loadbalancers": "2" }

export interface NamespaceArgs {
  readonly environment: names.Environment
  readonly settings: EnvironmentSettings
  readonly provider: k8s.Provider
  readonly database: Database
  readonly identities: Identities
  /** E-mails: who deploys, and which accounts may call the gateway in users' names. */
  readonly deployer: pulumi.Output<string>
  readonly edge: pulumi.Output<string>
  /** Who may start drills from outside; none in an environment without. */
  readonly driller: pulumi.Output<string> | undefined
  /** `projects/P/secrets/agent-model-key/versions/latest`. */
  readonly modelKey: pulumi.Output<string>
  /** `k8s/platform`. */
  readonly folder: string
}

export class Namespace extends pulumi.ComponentResource {
  readonly namespaces: ReadonlyArray<k8s.core.v1.Namespace>

  constructor(name: string, args: NamespaceArgs, options?: pulumi.ComponentResourceOptions) {
    super("agents:platform:Namespace", name, {}, options)
    const within = { parent: this, provider: args.provider }
    const objects = platformObjects(args.folder)
    const ofKind = (kind: string) => objects.filter((object) => object.kind === kind)

    this.namespaces = ofKind("Namespace").map(
      ({ metadata, kind }) => new k8s.core.v1.Namespace(`${name}-${kind}-${metadata.name}`, { metadata }, within)
    )
    const inside = { ...within, dependsOn: [...this.namespaces] }
    for (const object of objects) {
      const key = `${name}-${object.kind}-${object.metadata.name}`
      switch (object.kind) {
        case "Namespace":
          break
        case "ServiceAccount": {
          const email = args.identities.emails.get(object.metadata.name)
          if (email === undefined) {
            throw new pulumi.RunError(
              `k8s/platform has the account ${object.metadata.name}, which infra/names.ts does not list among workloadAccounts. Without a Google account it could sign in nowhere.`
            )
          }
          const annotations = { "iam.gke.io/gcp-service-account": email }
          new k8s.core.v1.ServiceAccount(key, { metadata: { ...object.metadata, annotations } }, inside)
          break
        }
        case "Role":
          new k8s.rbac.v1.Role(key, object as unknown as k8s.rbac.v1.RoleArgs, inside)
          break
        case "PriorityClass":
          new k8s.scheduling.v1.PriorityClass(key, object as unknown as k8s.scheduling.v1.PriorityClassArgs, within)
          break
        case "RoleBinding":
          new k8s.rbac.v1.RoleBinding(key, object as unknown as k8s.rbac.v1.RoleBindingArgs, inside)
          break
        case "NetworkPolicy":
          new k8s.networking.v1.NetworkPolicy(key, object as unknown as k8s.networking.v1.NetworkPolicyArgs, inside)
          break
        default:
          throw new pulumi.RunError(`k8s/platform holds a ${object.kind}, which infra/ can't create yet.`)
      }
    }
    const bind = (key: string, role: string, user: pulumi.Output<string>) =>
      new k8s.rbac.v1.RoleBinding(
        `${name}-${key}`,
        {
          metadata: { name: role, namespace: names.namespace },
          roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: role },
          subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: user }]
        },
        inside
      )
    bind("deployer", "agents-deployer", args.deployer)
    if (args.driller !== undefined) bind("driller", "agents-driller", args.driller)
    new k8s.core.v1.ConfigMap(
      `${name}-platform`,
      {
        metadata: { name: names.platformConfigMap, namespace: names.namespace },
        data: {
          IDENTITY_ISSUER: "https://accounts.google.com",
          IDENTITY_AUDIENCE: names.identityAudience,
          IDENTITY_JWKS_URL: "https://www.googleapis.com/oauth2/v3/certs",
          USER_ISSUER: args.settings.users.issuer,
          USER_AUDIENCE: args.settings.users.audience,
          USER_JWKS_URL: args.settings.users.jwksUrl,
          CORS_ORIGINS: args.settings.origins.join(","),
          EDGE_CALLERS: args.edge,
          // Who may ask runners what they could carry.
          GATE_CALLERS: args.identities.emails.get("agent-gate") ?? "",
          // Google's tokens name no tenant: these accounts are of this one.
          SERVICE_TENANTS: pulumi
            .all(names.callingAccounts.map((account) => args.identities.emails.get(account) ?? ""))
            .apply((emails) => emails.map((email) => `${email}=${names.serviceTenant}`).join(",")),
          // Where the last hook of a rollout asks what happened in it: who approved, and how long each job took.
          CLOUD_DEPLOY_API_URL: "https://clouddeploy.googleapis.com",
          CLOUD_LOGGING_API_URL: "https://logging.googleapis.com",
          GOOGLE_CLOUD_PROJECT: names.environmentProject(args.environment)
        }
      },
      inside
    )
    new k8s.core.v1.ResourceQuota(
      `${name}-quota`,
      { metadata: { name: "agents", namespace: names.namespace }, spec: { hard: QUOTA } },
      inside
    )
    const synced = (kind: string, apiVersion: string, spec: object) =>
      new k8s.apiextensions.CustomResource(
        `${name}-${kind}-${names.modelSecret}`,
        { apiVersion, kind, metadata: { name: names.modelSecret, namespace: names.namespace }, spec },
        inside
      )
    synced("SecretProviderClass", "secrets-store-gke.csi.x-k8s.io/v1", {
      provider: "gke",
      parameters: {
        secrets: pulumi.interpolate`- resourceName: "${args.modelKey}"\n  path: "${names.modelKeyFile}"\n`
      }
    })
    // A Kubernetes Secret that follows Secret Manager, within five minutes.
    synced("SecretSync", "secret-sync.gke.io/v1", {
      serviceAccountName: "agent-runtime",
      secretProviderClassName: names.modelSecret,
      secretObject: { type: "Opaque", data: [{ sourcePath: names.modelKeyFile, targetKey: names.modelKeyFile }] }
    })
    for (const { role, password } of args.database.logins) {
      new k8s.core.v1.Secret(
        `${name}-${names.databaseSecret(role)}`,
        {
          metadata: { name: names.databaseSecret(role), namespace: names.namespace },
          stringData: {
            host: args.database.host,
            port: "5432",
            database: names.database,
            username: role,
            password,
            sslmode: "require"
          }
        },
        inside
      )
    }
    this.registerOutputs({})
  }
}
