"""Messages that neither the recordings nor a small graph can be made to give."""

from __future__ import annotations

import pytest

from infraval.redaction import REDACTED, WITHHELD, Redactor


@pytest.mark.parametrize(
    "text",
    [
        "Deadline Exceeded",
        "Socket closed",
        "Connection reset by peer",
        "Server Threadpool Exhausted",
        "CLIENT: Received message larger than max (5242880 vs. 4194304)",
        "Task size 50 is larger than maximum input batch size 32",
        "The batch scheduling queue to which this task was submitted is full",
        "",
    ],
)
def test_messages_without_data_pass_unchanged(text: str) -> None:
    """What gRPC and the batching queue say by themselves is shown as it is."""
    assert Redactor().message(text) == text


def test_unreachable_server() -> None:
    """Why a server cannot be reached is shown, the address in this machine is not."""
    text = (
        "failed to connect to all addresses; last error: UNKNOWN: unix:/tmp/jsmith/s.sock: "
        "Failed to connect to remote host: Connection refused"
    )
    assert Redactor().message(text) == text.replace("unix:/tmp/jsmith/s.sock", REDACTED)


def test_unknown_message_keeps_status_and_known_nodes() -> None:
    """All that is left of an unknown message is its code and where in the model it was raised."""
    text = "INTERNAL: John Smith\n\t [[{{node score/custom}}]]\n\t [[{{node John}}]]"
    assert Redactor(names=["score/custom"]).message(text) == f"INTERNAL: {WITHHELD} [[{{{{node score/custom}}}}]]"


def test_older_spelling_of_a_status() -> None:
    """TensorFlow before 2.12 spelled status codes as words."""
    assert Redactor().message("Invalid argument: Input is empty.") == "Invalid argument: Input is empty."


def test_several_failures_in_one() -> None:
    """Each of the failures that a parallel graph gathers is redacted for itself."""
    text = (
        "2 root error(s) found.\n"
        "  (0) INVALID_ARGUMENT: StringToNumberOp could not correctly convert string: John\n"
        "\t [[{{node to_number}}]]\n"
        "\t [[{{node to_number}}]]\n"
        "  (1) INTERNAL: John Smith\n"
        "\t [[{{node John}}]]\n"
        "0 successful operations.\n"
        "0 derived errors ignored."
    )
    redactor = Redactor(names=["to_number"])
    shown = redactor.message(text)
    assert shown == (
        "2 root error(s) found.\n"
        f"(0) INVALID_ARGUMENT: StringToNumberOp could not correctly convert string: {REDACTED}\n"
        " [[{{node to_number}}]]\n"
        " [[{{node to_number}}]]\n"
        f"(1) INTERNAL: {WITHHELD}"
    )
    assert redactor.message(shown) == shown


def test_a_line_of_several_is_not_taken_for_the_end_of_a_name() -> None:
    """Several lines stay one message although the last could end another; redacting twice changes nothing."""
    text = "1 root error(s) found.\n; No such file or directory"
    redactor = Redactor()
    assert redactor.message(text) == text
    assert redactor.message(redactor.message(f"{text}\n\t [[{{{{node x}}}}]]0")) == text


def test_out_of_memory() -> None:
    """The allocator's hint below the node does not hide the message."""
    text = (
        "OOM when allocating tensor with shape[64,112] and type float on /job:localhost/replica:0/task:0/device:CPU:0 "
        "by allocator cpu\n\t [[{{node conv}}]]\nHint: If you want to see a list of allocated tensors when OOM "
        "happens, add report_tensor_allocations_upon_oom to RunOptions for current allocation info.\n"
    )
    assert Redactor(names=["conv"]).message(text) == (
        f"OOM when allocating tensor with shape[64,112] and type float on {REDACTED} [[{{{{node conv}}}}]]"
    )


def test_the_most_specific_message_is_taken() -> None:
    """A message that a general template would cover as well keeps all of its own."""
    text = "Key: tips.  Data types don't match. Expected type: float, Data type: int64"
    assert Redactor(names=["tips"]).message(text) == text
    assert Redactor(names=["tips"]).message("Key: tips.  John Smith") == f"Key: tips.  {REDACTED}"


def test_functions_before_a_message_do_not_hide_it() -> None:
    """An eager call puts the functions it runs in before the text; the text is known all the same."""
    text = "{{function_node __wrapped__LookupTable}} {{function_node inner}} Table not initialized."

    assert Redactor().message(text) == "Table not initialized."
