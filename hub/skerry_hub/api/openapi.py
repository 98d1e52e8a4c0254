"""Structs in the OpenAPI page: litestar's own way fails where a field's default is itself a struct."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.openapi.spec import Schema


class StructSchemas(OpenAPISchemaPlugin):
    """Fields by their names on the wire; those without a default are required."""

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        """Whether it is one struct."""
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        """The struct as a component."""
        hints = field_definition.get_type_hints(include_extras=True, resolve_generics=True)
        fields = msgspec.structs.fields(field_definition.annotation)
        return schema_creator.create_component_schema(
            field_definition,
            required=sorted(field.encode_name for field in fields if field.required),
            property_fields={
                field.encode_name: FieldDefinition.from_annotation(hints[field.name], name=field.encode_name)
                for field in fields
            },
        )
