"""The manifests for Kubernetes: valid by its schemas, complete, closed, and with the jobs of the crontab."""

import re
import subprocess
import sys
import tomllib
import unittest

import kubernetes_validate
import yaml

from common import ROOT, assert_parses, crontab, syncctl

FOLDER = ROOT / "packaging" / "kubernetes"
# The versions that their header names, and the newest one with a schema.
VERSIONS = ["1.31", kubernetes_validate.latest_version()]
# It writes a page, for which a pod has no lasting place.
WITHOUT = ["report"]


def built():
    """The manifests as `kubectl apply -k` sends them."""
    ran = subprocess.run([f"{sys.prefix}/bin/kubectl", "kustomize", FOLDER], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return list(yaml.safe_load_all(ran.stdout))


ALL = built()


def of_kind(kind):
    return [manifest for manifest in ALL if manifest["kind"] == kind]


def pods():
    """Name and specification of every pod that the manifests start."""
    for job in of_kind("CronJob"):
        yield job["metadata"]["name"], job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for deployment in of_kind("Deployment"):
        yield deployment["metadata"]["name"], deployment["spec"]["template"]["spec"]


def containers(pod):
    return pod["containers"] + pod.get("initContainers", [])


class Manifests(unittest.TestCase):
    def test_each_is_valid_by_the_schemas_of_kubernetes(self):
        secret = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
        for manifest in [*ALL, secret]:
            for version in VERSIONS:
                with self.subTest(manifest["metadata"]["name"], version=version):
                    kubernetes_validate.validate(manifest, version, strict=True)

    def test_the_jobs_are_those_of_the_crontab(self):
        def arguments(job):
            return tuple(job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"])

        made = {(job["spec"]["schedule"], arguments(job)) for job in of_kind("CronJob")}
        self.assertEqual(made, {job for job in crontab() if job[1][0] not in WITHOUT})

    def test_every_command_is_one_of_the_program(self):
        for name, pod in pods():
            for container in containers(pod):
                with self.subTest(name):
                    assert_parses(self, container["args"])

    def test_the_settings_are_valid_and_the_ports_are_those_of_the_probes(self):
        [config] = of_kind("ConfigMap")
        shown = syncctl("config", "show", "--config", str(FOLDER / "syncctl.toml"))
        self.assertEqual(shown.returncode, 0, shown.stderr)
        settings = tomllib.loads(config["data"]["syncctl.toml"])
        [deployment] = of_kind("Deployment")
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        listen = container["args"][container["args"].index("--listen") + 1]
        self.assertEqual(listen, f"0.0.0.0:{ports['webhook']}")
        self.assertEqual(settings["webhook"]["status_listen"], f"0.0.0.0:{ports['status']}")
        self.assertEqual(container["readinessProbe"]["httpGet"], {"path": "/healthz", "port": "status"})
        self.assertIn(container["livenessProbe"]["tcpSocket"]["port"], ports)
        [service] = of_kind("Service")
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        self.assertLessEqual(service["spec"]["selector"].items(), labels.items())
        self.assertEqual([port["targetPort"] for port in service["spec"]["ports"]], ["webhook"])

    def test_every_reference_leads_to_something(self):
        configs = {config["metadata"]["name"]: config["data"] for config in of_kind("ConfigMap")}
        secret = yaml.safe_load((FOLDER / "secret.example.yaml").read_text())
        namespace = {manifest["metadata"].get("namespace") for manifest in ALL if manifest["kind"] != "Namespace"}
        self.assertEqual(namespace, {secret["metadata"]["namespace"]})
        self.assertIn(of_kind("Namespace")[0]["metadata"]["name"], namespace)
        for name, pod in pods():
            with self.subTest(name):
                volumes = {volume["name"]: volume for volume in pod["volumes"]}
                self.assertIn("syncctl.toml", configs[volumes["settings"]["configMap"]["name"]])
                self.assertEqual(volumes["credentials"]["secret"]["secretName"], secret["metadata"]["name"])
                # Seal keys that others may read are refused.
                self.assertEqual(volumes["credentials"]["secret"]["defaultMode"], 0o440)
                for container in containers(pod):
                    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
                    self.assertEqual(set(mounts), set(volumes))
                    variables = {variable["name"]: variable["value"] for variable in container["env"]}
                    self.assertEqual(mounts["credentials"], variables["CREDENTIALS_DIRECTORY"])
                    # Where the program looks for its settings.
                    self.assertEqual(mounts["settings"], "/etc/syncctl")
        # Each key is a secret of the program.
        known = {re.sub(r"\W", "_", line.split()[0]) for line in syncctl("config", "show").stdout.splitlines() if line.strip()}
        self.assertLessEqual(set(secret["stringData"]), known)

    def test_no_pod_is_root_or_writes_to_its_image(self):
        for name, pod in pods():
            with self.subTest(name):
                context = pod["securityContext"]
                self.assertTrue(context["runAsNonRoot"] and context["runAsUser"] == context["fsGroup"] == 65532)
                self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"})
                self.assertFalse(pod["automountServiceAccountToken"] or pod["enableServiceLinks"])
                for container in containers(pod):
                    closed = container["securityContext"]
                    self.assertTrue(closed["readOnlyRootFilesystem"])
                    self.assertFalse(closed["allowPrivilegeEscalation"])
                    self.assertEqual(closed["capabilities"], {"drop": ["ALL"]})
                    self.assertIn("memory", container["resources"]["limits"])
        [namespace] = of_kind("Namespace")
        self.assertEqual(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted")

    def test_a_run_that_finds_its_job_held_is_no_failure_and_no_two_overlap(self):
        for job in of_kind("CronJob"):
            with self.subTest(job["metadata"]["name"]):
                self.assertEqual(job["spec"]["concurrencyPolicy"], "Forbid")
                template = job["spec"]["jobTemplate"]["spec"]
                self.assertEqual((template["backoffLimit"], template["template"]["spec"]["restartPolicy"]), (0, "Never"))
                held = template["podFailurePolicy"]["rules"][0]
                self.assertEqual((held["action"], held["onExitCodes"]["values"]), ("Ignore", [75]))
                self.assertEqual(held["onExitCodes"]["containerName"], template["template"]["spec"]["containers"][0]["name"])

    def test_every_image_is_that_of_this_version(self):
        version = syncctl("--version").stdout.split()[1]
        images = {container["image"] for _, pod in pods() for container in containers(pod)}
        self.assertEqual(images, {f"syncctl:{version}"})
