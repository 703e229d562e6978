/** Secrets that people bring: made empty here, filled by a documented command, never in Pulumi's state or configuration. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Secrets extends pulumi.ComponentResource {
  /** `projects/P/secrets/agent-model-key/versions/latest`. */
  readonly modelKey: pulumi.Output<string>

  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly runtime: pulumi.Output<string> },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Secrets", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const secret = new gcp.secretmanager.Secret(
      `${name}-model-key`,
      {
        project,
        secretId: names.modelSecret,
        replication: { userManaged: { replicas: [{ location: names.region }] } },
        // An older version can be had back for a week after it was destroyed.
        versionDestroyTtl: `${7 * 86_400}s`,
        labels: names.labels(args.environment, "secrets")
      },
      parent
    )
    new gcp.secretmanager.SecretIamMember(
      `${name}-runtime-reads-model-key`,
      {
        project,
        secretId: secret.secretId,
        role: "roles/secretmanager.secretAccessor",
        member: pulumi.interpolate`serviceAccount:${args.runtime}`
      },
      parent
    )
    this.modelKey = pulumi.interpolate`projects/${project}/secrets/${secret.secretId}/versions/latest`
    this.registerOutputs({})
  }
}
