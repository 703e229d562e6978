/**
 * What builds keep for the next one: installed packages and tools (a bucket), layers of images (a registry whose tags move).
 *
 * Builds of main write, those of pull requests read: what a stranger's code has touched never comes near a release.
 */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

const DAYS_KEPT = 30

export class BuildCache extends pulumi.ComponentResource {
  constructor(
    name: string,
    members: { readonly builder: pulumi.Output<string>; readonly checker: pulumi.Output<string> },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:delivery:BuildCache", name, {}, options)
    const parent = { parent: this }
    const project = names.deliveryProject
    const labels = names.labels(names.shared, "delivery")
    const bucket = new gcp.storage.Bucket(
      `${name}-installed`,
      {
        project,
        name: names.cacheBucket,
        location: names.region,
        uniformBucketLevelAccess: true,
        publicAccessPrevention: "enforced",
        lifecycleRules: [{ action: { type: "Delete" }, condition: { age: DAYS_KEPT } }],
        labels
      },
      parent
    )
    const layers = new gcp.artifactregistry.Repository(
      `${name}-layers`,
      {
        project,
        location: names.region,
        repositoryId: names.cacheRegistry,
        format: "DOCKER",
        description: "Layers for the next build. Nothing here is signed, so no cluster runs it",
        cleanupPolicies: [
          { id: "drop-old", action: "DELETE", condition: { olderThan: `${DAYS_KEPT * 86_400}s`, tagState: "ANY" } }
        ],
        labels
      },
      parent
    )
    new gcp.artifactregistry.RepositoryIamMember(
      `${name}-builder-layers`,
      {
        project,
        location: names.region,
        repository: layers.repositoryId,
        role: "roles/artifactregistry.writer",
        member: members.builder
      },
      parent
    )
    for (const [who, role] of [
      ["builder", "roles/storage.objectUser"],
      ["checker", "roles/storage.objectViewer"]
    ] as const) {
      new gcp.storage.BucketIAMMember(`${name}-${who}`, { bucket: bucket.name, role, member: members[who] }, parent)
    }
    this.registerOutputs({})
  }
}
