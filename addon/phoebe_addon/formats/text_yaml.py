"""YAML in which everything is text, as the operator's maps need it."""

from collections.abc import Hashable

import yaml


class TextLoader(yaml.BaseLoader):
    """A loader for which every scalar is text (`no` and `1.10` are names) and every key is unique."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        """Refuse keys that are no text or come twice."""
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key_node.start_mark)
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key_node.value[:100]!a}", key_node.start_mark
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)
