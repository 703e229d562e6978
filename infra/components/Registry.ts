/** Where images are: one repository, whose tags can't be moved. Who may write there is said in the stack that makes the builder. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Registry extends pulumi.ComponentResource {
  constructor(name: string, _args: Record<string, never>, options?: pulumi.ComponentResourceOptions) {
    super("agents:foundation:Registry", name, {}, options)
    new gcp.artifactregistry.Repository(
      `${name}-repository`,
      {
        project: names.deliveryProject,
        location: names.region,
        repositoryId: names.registry,
        format: "DOCKER",
        description: "Images of the agents",
        // Releases name images by digest; this keeps people who don't from being surprised.
        dockerConfig: { immutableTags: true },
        // Images that no release of the last year names are worth nothing; a rollback choice is far younger.
        cleanupPolicies: [
          { id: "keep-recent", action: "KEEP", mostRecentVersions: { keepCount: 100 } },
          { id: "drop-old", action: "DELETE", condition: { olderThan: `${365 * 86_400}s`, tagState: "ANY" } }
        ],
        vulnerabilityScanningConfig: { enablementConfig: "INHERITED" },
        labels: names.labels(names.shared, "registry")
      },
      // The images of running releases are here: without them no node could start a pod.
      { parent: this, protect: true }
    )
    this.registerOutputs({})
  }
}
