"""One JSON line a request, in CloudWatch's embedded metric format."""

import json
import time

METRICS = ("decode_us", "run_us", "encode_us", "total_us", "peak_rss_bytes")
UNITS = {"peak_rss_bytes": "Bytes"}


def line(model, request_id, stages, *, cold, status, parameters):
    """Return the line of one request.

    Args:
        model: model.json.
        request_id: The platform's id of the request.
        stages: Microseconds of decode, run and encode.
        cold: Whether this was the process's first request.
        status: The HTTP status answered with.
        parameters: The request's parameters; ``profile`` (features, bucket, propensity) and
            ``correct`` are passed through for learning.
    """
    profile = parameters.get("profile")
    profile = profile if isinstance(profile, dict) else {}
    plan = model["plan"] or {"name": model["name"], "digest": model["version"]}
    values = {f"{name}_us": round(value) for name, value in stages.items()}
    values["total_us"] = round(sum(stages.values()))
    values["peak_rss_bytes"] = peak_rss_bytes()
    document = {
        "_aws": {
            "Timestamp": int(time.time() * 1000),
            "CloudWatchMetrics": [
                {
                    "Namespace": "suture",
                    "Dimensions": [["model", "plan"]],
                    "Metrics": [
                        {"Name": name, "Unit": UNITS.get(name, "Microseconds")}
                        for name in METRICS
                    ],
                }
            ],
        },
        "model": model["name"],
        "plan": plan["name"],
        "plan_digest": plan["digest"],
        "backend": model["backend"],
        "request_id": request_id,
        "cold": cold,
        "status": status,
        "bucket": profile.get("bucket"),
        "features": profile.get("features"),
        "propensity": profile.get("propensity"),
        **values,
    }
    if "correct" in parameters:
        document["correct"] = parameters["correct"]
    return json.dumps(document, sort_keys=True)


def peak_rss_bytes():
    """Return the process's greatest resident memory.

    Not getrusage's: that counts what the parent held before exec.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            lines = [line for line in status if line.startswith("VmHWM:")]
    except OSError:
        return 0
    return int(lines[0].split()[1]) * 1024 if lines else 0
