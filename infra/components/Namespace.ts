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

export class Namespace extends pulumi.ComponentResource {
  constructor(
    name: string,
    args: {
      readonly environment: names.Environment
      readonly kubeconfig: pulumi.Output<string>
      readonly database: Database
      readonly identities: Identities
      /** `k8s/platform`. */
      readonly folder: string
    },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Namespace", name, {}, options)
    const provider = new k8s.Provider(`${name}-provider`, { kubeconfig: args.kubeconfig }, { parent: this })
    const within = { parent: this, provider }
    const objects = platformObjects(args.folder)
    const ofKind = (kind: string) => objects.filter((object) => object.kind === kind)

    const namespaces = ofKind("Namespace").map(
      ({ metadata, kind }) => new k8s.core.v1.Namespace(`${name}-${kind}-${metadata.name}`, { metadata }, within)
    )
    const inside = { ...within, dependsOn: namespaces }
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
        case "RoleBinding":
          new k8s.rbac.v1.RoleBinding(key, object as unknown as k8s.rbac.v1.RoleBindingArgs, inside)
          break
        default:
          throw new pulumi.RunError(`k8s/platform holds a ${object.kind}, which infra/ can't create yet.`)
      }
    }
    const deployer = names.accountEmail(names.deployerAccount(args.environment), names.deliveryProject)
    new k8s.rbac.v1.RoleBinding(
      `${name}-deployer`,
      {
        metadata: { name: "agents-deployer", namespace: names.namespace },
        roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "agents-deployer" },
        subjects: [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: deployer }]
      },
      inside
    )
    new k8s.core.v1.ConfigMap(
      `${name}-platform`,
      {
        metadata: { name: names.platformConfigMap, namespace: names.namespace },
        data: {
          IDENTITY_ISSUER: "https://accounts.google.com",
          IDENTITY_AUDIENCE: names.identityAudience,
          IDENTITY_JWKS_URL: "https://www.googleapis.com/oauth2/v3/certs"
        }
      },
      inside
    )
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
