"""OpenAI's agents SDK: a tool that it runs, two turns, a stream, and a conversation that the server keeps."""

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI

from tests.server.clients.conftest import Address

agents = pytest.importorskip("agents", reason="openai-agents is not installed")


def make_agent(address: Address, kind: str) -> Any:
    agents.set_tracing_disabled(True)
    client = AsyncOpenAI(base_url=f"{address.url}/v1", api_key="none", max_retries=0)

    @agents.function_tool
    def roll(sides: bool) -> str:
        """Roll a die."""
        return "You rolled a 4."

    return agents.Agent(
        name="dealer",
        instructions="You roll dice.",
        model=getattr(agents, kind)(model=address.model, openai_client=client),
        tools=[roll],
        model_settings=agents.ModelSettings(
            tool_choice="required", max_tokens=60, temperature=0, extra_body={"logit_bias": address.logit_bias}
        ),
    )


@pytest.mark.parametrize("kind", ["OpenAIResponsesModel", "OpenAIChatCompletionsModel"])
def test_two_turns_with_a_tool(address: Address, kind: str) -> None:
    async def talk() -> None:
        agent = make_agent(address, kind)
        first = await agents.Runner.run(agent, "Roll a die.")
        kinds = [item.type for item in first.new_items]
        assert kinds[:2] == ["tool_call_item", "tool_call_output_item"]
        history = [*first.to_input_list(), {"role": "user", "content": "Roll it again."}]
        second = await agents.Runner.run(agent, history)
        streamed = agents.Runner.run_streamed(agent, history)
        names = [event.name async for event in streamed.stream_events() if event.type == "run_item_stream_event"]
        assert "tool_called" in names
        assert streamed.final_output == second.final_output

    asyncio.run(talk())


def test_the_server_keeps_the_conversation(address: Address) -> None:
    async def talk() -> None:
        agent = make_agent(address, "OpenAIResponsesModel")
        first = await agents.Runner.run(agent, "Roll a die.")
        second = await agents.Runner.run(
            agent, "Roll it again.", previous_response_id=first.last_response_id, auto_previous_response_id=True
        )
        whole = await agents.Runner.run(agent, [*first.to_input_list(), {"role": "user", "content": "Roll it again."}])
        assert second.final_output == whole.final_output
        assert second.raw_responses[-1].usage.input_tokens == whole.raw_responses[-1].usage.input_tokens

    asyncio.run(talk())
