"""What a training job is given: files by name, and a prepared dataset."""

import small
from activation_study.data import arrays as prepared


class Named(dict):
    """Files by name, as Snakemake hands them over."""

    __getattr__ = dict.__getitem__


def job_data(folder, status="available"):
    description = {
        "name": "blobs",
        "status": status,
        "message": "" if status == "available" else "no network",
    }
    data = small.blobs()
    digest = prepared.content_sha256(data.x, data.y, None)
    sizes = {"samples": 300, "features": 12, "classes": 3, "source": "blobs", "sha256": digest, "official_test": False}
    arrays, manifest = folder / "data" / "blobs.npz", folder / "data" / "blobs.json"
    prepared.write_prepared(data, description | sizes, arrays, manifest)
    return {"arrays": [arrays], "manifests": [manifest]}
