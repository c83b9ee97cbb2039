"""What is changed by an RPC is told like any other change."""

from app.rpc.generated import open_inference_pb2 as pb
from tests import graphs
from tests.calls import upload
from tests.rpc.conftest import Served


async def test_a_load_and_an_unload_say_which_rpc_it_was(served: Served) -> None:
    await upload(served.client, graphs.affine(2.0, width=2), name="mine")
    stub, name = served.stub, "mine"
    request = pb.RepositoryModelUnloadRequest(model_name=name)
    metadata = (("x-request-id", "mine-1"),)
    await stub("RepositoryModelUnload", request, metadata=metadata)
    await stub("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name=name))
    listed = await served.client.get("/api/v1/audit?object=mine")
    load, unload, first = listed.json()["items"]
    assert (unload["action"], unload["via"]) == (
        "model.archive",
        "rpc RepositoryModelUnload",
    )
    assert (load["action"], load["via"]) == ("model.restore", "rpc RepositoryModelLoad")
    assert (unload["request_id"], unload["peer"]) == ("mine-1", "127.0.0.1")
    assert {one["actor"] for one in (load, unload, first)} == {"everybody"}
