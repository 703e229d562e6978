/** Certificates that Google issues and renews, for the API and for sockets. Proof of the domain is a DNS record, so they exist before traffic does. */
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import * as names from "../names.ts"

export class Certificates extends pulumi.ComponentResource {
  readonly map: gcp.certificatemanager.CertificateMap
  /** What a load balancer takes. */
  readonly reference: pulumi.Output<string>

  constructor(
    name: string,
    args: { readonly environment: names.Environment; readonly hosts: Readonly<Record<string, string>> },
    options?: pulumi.ComponentResourceOptions
  ) {
    super("agents:platform:Certificates", name, {}, options)
    const parent = { parent: this }
    const project = names.environmentProject(args.environment)
    const labels = names.labels(args.environment, "edge")
    this.map = new gcp.certificatemanager.CertificateMap(`${name}-map`, { project, name: "agents", labels }, parent)
    for (const [key, host] of Object.entries(args.hosts)) {
      const authorization = new gcp.certificatemanager.DnsAuthorization(
        `${name}-${key}-authorization`,
        { project, name: `agents-${key}`, domain: host, labels },
        parent
      )
      const certificate = new gcp.certificatemanager.Certificate(
        `${name}-${key}-certificate`,
        {
          project,
          name: `agents-${key}`,
          managed: { domains: [host], dnsAuthorizations: [authorization.id] },
          labels
        },
        parent
      )
      new gcp.certificatemanager.CertificateMapEntry(
        `${name}-${key}-entry`,
        {
          project,
          name: `agents-${key}`,
          map: this.map.name,
          hostname: host,
          certificates: [certificate.id],
          labels
        },
        parent
      )
    }
    this.reference = pulumi.interpolate`//certificatemanager.googleapis.com/projects/${project}/locations/global/certificateMaps/${this.map.name}`
    this.registerOutputs({})
  }
}
