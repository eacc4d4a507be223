from suture.codegen.aot import COPY, SKIP_IF, AotPlan, Call, Tensor, plan_source


def test_source_of_an_empty_plan_is_c_without_empty_arrays():
    empty = AotPlan(tensors=(), calls=(), inputs=(), outputs=(), arena_bytes=0, weights=b"")
    source = plan_source(empty, ())
    assert ".num_tensors = 0," in source
    assert "{}" not in source.replace(" ", "")


def test_source_names_kernels_and_places():
    tensors = (
        Tensor(space="input", buffer=1, shape=(), dtype="bool"),
        Tensor(space="weights", offset=64, shape=(2, 3), dtype="float16"),
    )
    source = plan_source(
        AotPlan(
            tensors=tensors,
            calls=(Call("mix", (0, 1)), Call(SKIP_IF, (0,), 1), Call(COPY, (1, 0))),
            inputs=tensors[:1],
            outputs=(Tensor(space="output", shape=(2, 3), dtype="float16"),),
            arena_bytes=128,
            weights=bytes(76),
        ),
        ("mix",),
    )
    for line in (
        "  KERNEL_copy, KERNEL_skip_unless, KERNEL_skip_if,",
        "  KERNEL_mix,",
        "static DLTensor tensors[2];",
        "{INPUT, 6, 8, 0, 1, shape_0, 0},",
        "{WEIGHTS, 2, 16, 2, 0, shape_1, 64},",
        "static const uint32_t args_2[] = {1, 0};",
        "{KERNEL_mix, args_0, 2, 0, 0, 0},",
        "{KERNEL_skip_if, args_1, 1, 1, 0, 0},",
        "{KERNEL_copy, args_2, 2, 0, 0, 0},",
        "static const uint64_t output_bytes[] = {12};",
        ".arena_bytes = 128,",
    ):
        assert line in source
