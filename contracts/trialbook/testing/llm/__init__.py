"""A scripted model server that speaks OpenAI, Azure OpenAI, Anthropic and Gemini: for tests and for dry runs.

    async with ScriptedServer([Rule(match="weather", reply="Sunny.")]) as server:
        client = openai.AsyncOpenAI(base_url=server.openai_url, api_key="any")

Only the standard library and msgspec are needed.
"""

from trialbook.testing.llm.asked import Asked
from trialbook.testing.llm.rules import Fault, Reply, Rule, Script, load_rules
from trialbook.testing.llm.server import ScriptedServer

__all__ = ["Asked", "Fault", "Reply", "Rule", "Script", "ScriptedServer", "load_rules"]
