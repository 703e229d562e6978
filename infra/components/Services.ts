/** The APIs of a project that are switched on. Left on by `destroy`: switching one off would take down what others made with it. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"

const common = [
  "cloudresourcemanager",
  "compute",
  "iam",
  "iamcredentials",
  "cloudkms",
  "logging",
  "monitoring",
  "cloudtrace"
]
const ofEnvironment = [
  ...common,
  "container",
  "sqladmin",
  "servicenetworking",
  "secretmanager",
  "run",
  "iap",
  "certificatemanager",
  "dns",
  "binaryauthorization",
  "containersecurity",
  "networkservices",
  "bigquery",
  "bigqueryconnection",
  "bigquerydatatransfer"
]
const ofDelivery = [
  ...common,
  "artifactregistry",
  "cloudbuild",
  "clouddeploy",
  "containeranalysis",
  "containerscanning",
  "ondemandscanning",
  "binaryauthorization",
  "secretmanager",
  "cloudscheduler",
  "bigquery",
  "billingbudgets"
]

export class Services extends pulumi.ComponentResource {
  readonly all: ReadonlyArray<gcp.projects.Service>

  constructor(
    name: string,
    args: { readonly project: string; readonly kind: "environment" | "delivery" },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:foundation:Services", name, {}, options)
    this.all = (args.kind === "environment" ? ofEnvironment : ofDelivery).map(
      (service) =>
        new gcp.projects.Service(
          `${name}-${service}`,
          { project: args.project, service: `${service}.googleapis.com`, disableOnDestroy: false },
          { parent: this }
        )
    )
    // Secrets, keys and sign-ins leave a trace of who read them; Google logs only changes by itself.
    for (const service of ["secretmanager", "cloudkms", "iap"]) {
      new gcp.projects.IAMAuditConfig(
        `${name}-audit-${service}`,
        {
          project: args.project,
          service: `${service}.googleapis.com`,
          auditLogConfigs: [{ logType: "ADMIN_READ" }, { logType: "DATA_READ" }, { logType: "DATA_WRITE" }]
        },
        { parent: this, dependsOn: [...this.all] }
      )
    }
    this.registerOutputs({})
  }
}
