/** Where images are: one repository, whose tags can't be moved. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Registry extends pulumi.ComponentResource {
  constructor(
    name: string,
    args: { readonly builder: pulumi.Input<string> },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:delivery:Registry", name, {}, options)
    const parent = { parent: this }
    const repository = new gcp.artifactregistry.Repository(
      `${name}-repository`,
      {
        project: names.deliveryProject,
        location: names.region,
        repositoryId: names.registry,
        format: "DOCKER",
        description: "Images of the agents",
        // Releases name images by digest; this keeps people who don't from being surprised.
        dockerConfig: { immutableTags: true },
        labels: { app: "agents" }
      },
      parent
    )
    new gcp.artifactregistry.RepositoryIamMember(
      `${name}-builder-writes`,
      {
        project: names.deliveryProject,
        location: names.region,
        repository: repository.repositoryId,
        role: "roles/artifactregistry.writer",
        member: args.builder
      },
      parent
    )
    this.registerOutputs({})
  }
}
