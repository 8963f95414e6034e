"""Rows as the protocol's objects. Strict clients check every type, and which fields may be null."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from assistants.server.models import Assistant, Message, Run, Step, Thread

Json = dict[str, Any]


def seconds(at: datetime | None) -> int | None:
    return int(at.timestamp()) if at else None


def deleted(kind: str, id: str) -> Json:
    return {"id": id, "object": f"{kind}.deleted", "deleted": True}


def assistant(row: Assistant) -> Json:
    return {
        "id": row.id,
        "object": "assistant",
        "created_at": seconds(row.created_at),
        "name": row.name,
        "description": row.description,
        "model": row.model,
        "instructions": row.instructions,
        "tools": row.tools,
        "tool_resources": row.tool_resources or {},
        "metadata": row.metadata,
        "temperature": row.options.get("temperature", 1.0),
        "top_p": row.options.get("top_p", 1.0),
        "reasoning_effort": row.options.get("reasoning_effort"),
        "response_format": row.options.get("response_format", "auto"),
    }


def thread(row: Thread) -> Json:
    return {
        "id": row.id,
        "object": "thread",
        "created_at": seconds(row.created_at),
        "tool_resources": row.tool_resources or {},
        "metadata": row.metadata,
    }


def message(row: Message) -> Json:
    ended = seconds(row.ended_at or row.created_at)
    return {
        "id": row.id,
        "object": "thread.message",
        "created_at": seconds(row.created_at),
        "thread_id": row.thread.id,
        "status": row.status,
        "completed_at": ended if row.status == Message.Status.COMPLETED else None,
        "incomplete_at": ended if row.status == Message.Status.INCOMPLETE else None,
        "incomplete_details": {"reason": row.incomplete_reason} if row.incomplete_reason else None,
        "role": row.role,
        "content": row.content,
        "assistant_id": row.run.assistant_id if row.run else None,
        "run_id": row.run.id if row.run else None,
        "attachments": row.attachments,
        "metadata": row.metadata,
    }


def run(row: Run) -> Json:
    return {
        "id": row.id,
        "object": "thread.run",
        "assistant_id": row.assistant_id,
        "thread_id": row.thread.id,
        "status": row.status,
        "required_action": _required_action(row),
        "last_error": row.last_error,
        "incomplete_details": {"reason": row.incomplete_reason} if row.incomplete_reason else None,
        "model": row.model,
        "instructions": row.instructions,
        "tools": row.tools,
        "metadata": row.metadata,
        "usage": None if row.is_active else usage(row.prompt_tokens, row.completion_tokens),
        **_moments(row),
        **_options(row.options),
    }


def _moments(row: Run) -> Json:
    ended, status = seconds(row.ended_at), row.status
    may_expire = row.is_active or status == Run.Status.EXPIRED
    return {
        "created_at": seconds(row.created_at),
        "started_at": seconds(row.started_at),
        "expires_at": seconds(row.expires_at) if may_expire else None,
        "completed_at": ended if status in (Run.Status.COMPLETED, Run.Status.INCOMPLETE) else None,
        "cancelled_at": ended if status == Run.Status.CANCELLED else None,
        "failed_at": ended if status == Run.Status.FAILED else None,
    }


def _options(given: Json) -> Json:
    return {
        "temperature": given.get("temperature", 1.0),
        "top_p": given.get("top_p", 1.0),
        "response_format": given.get("response_format", "auto"),
        "reasoning_effort": given.get("reasoning_effort"),
        "tool_choice": given.get("tool_choice", "auto"),
        "parallel_tool_calls": given.get("parallel_tool_calls", True),
        "max_prompt_tokens": given.get("max_prompt_tokens"),
        "max_completion_tokens": given.get("max_completion_tokens"),
        "truncation_strategy": {"last_messages": None} | given.get("truncation_strategy", {"type": "auto"}),
    }


def usage(prompt: int, completion: int) -> Json:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _required_action(row: Run) -> Json | None:
    if row.status != Run.Status.REQUIRES_ACTION:
        return None
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"]},
        }
        for call in row.open_step.calls
    ]
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}


def step(row: Step) -> Json:
    ended = seconds(row.ended_at)
    return {
        "id": row.id,
        "object": "thread.run.step",
        "created_at": seconds(row.created_at),
        "run_id": row.run.id,
        "assistant_id": row.run.assistant_id,
        "thread_id": row.run.thread.id,
        "type": row.type,
        "status": row.status,
        "step_details": _details(row),
        "last_error": row.last_error,
        "completed_at": ended if row.status == Step.Status.COMPLETED else None,
        "cancelled_at": ended if row.status == Step.Status.CANCELLED else None,
        "failed_at": ended if row.status == Step.Status.FAILED else None,
        "expired_at": ended if row.status == Step.Status.EXPIRED else None,
        "usage": row.usage if row.ended_at else None,
        "metadata": row.metadata,
    }


def _details(row: Step) -> Json:
    if row.type == Step.Type.MESSAGE:
        return {"type": row.type, "message_creation": {"message_id": row.message_id}}
    calls = [
        {
            "id": call["id"],
            "type": "function",
            "function": {"name": call["name"], "arguments": call["arguments"], "output": call["output"]},
        }
        for call in row.calls
    ]
    return {"type": row.type, "tool_calls": calls}
