#!/usr/bin/env python3
"""Writes the C codec of one schema: codegen.py SCHEMA HEADER SOURCE.

A schema is text, one thing per line, '#' starts a comment:

    prefix archive                          of every C name
    enum Name: FIRST 0, SECOND 1            all i32; a second line with the same name adds values
    schema ID version N [TAG] [framed]      for the messages that follow; TAG goes into the names of
                                            its constants; framed: 16-byte header with a length
    message ID Name block N [since V] [inline] [padded]
    record Name block N [padded]            on disk, without a message header
        field TYPE [at OFFSET] [since V] [absent VALUE]
        group name block N                  its fields and data are indented once more
        data ascii|bytes [since V]

Fields lie one behind the other unless 'at' says otherwise. They end where the block ends, unless it
is 'padded' with reserved bytes: a forgotten field does not pass. TYPE is i32, i64, u8, u32, version
or capacity (i32 with null 0), or an enum. A field that the sender lacks reads as 'absent', by
default the type's null.
'inline' adds header-only functions for a hot path that does not want a struct.

Names stay as the specification writes them and are turned into snake_case for C.
"""
import re
import sys

SIZES = {"i32": 4, "i64": 8, "u8": 1, "u32": 4}
NULLS = {"i32": "SBE_NULL_I32", "i64": "SBE_NULL_I64", "u8": "SBE_NULL_U8", "u32": "SBE_NULL_U32"}
C_TYPES = {"i32": "int32_t", "i64": "int64_t", "u8": "uint8_t", "u32": "uint32_t"}
ZERO_NULL_TYPES = ("version", "capacity")
DATA_TYPES = ("ascii", "bytes")
HEADER_LENGTH, FRAMED_HEADER_LENGTH = 8, 16
DATA_HEADER_LENGTH = GROUP_HEADER_LENGTH = 4


class SchemaError(Exception):
    pass


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


class Field:
    def __init__(self, name, kind, offset, options, enums):
        self.name, self.c_name, self.enum = name, snake(name), kind if kind in enums else None
        self.type = "i32" if self.enum or kind in ZERO_NULL_TYPES else kind
        if self.type not in SIZES:
            raise SchemaError("unknown type " + kind)
        self.offset, self.since = offset, int(options.get("since", 0))
        default = "0" if kind in ZERO_NULL_TYPES else NULLS[self.type]
        self.absent = options.get("absent", default)
        if self.enum and self.absent in enums[kind]:
            self.absent = str(enums[kind][self.absent])

    def end(self):
        return self.offset + SIZES[self.type]


class Data:
    def __init__(self, name, kind, options):
        self.name, self.c_name, self.is_text = name, snake(name), kind == "ascii"
        self.since = int(options.get("since", 0))


class Body:
    """A message, a record, or the element of a group."""

    def __init__(self, name, block, parent=None):
        self.name, self.c_name, self.block, self.parent = name, snake(name), block, parent
        self.fields, self.groups, self.data = [], [], []
        self.template = self.schema = None
        self.is_inline = self.is_padded = False

    def full_name(self):
        return (self.parent.full_name() + "_" if self.parent else "") + self.c_name

    def header_length(self):
        if self.schema is None:
            return 0
        return FRAMED_HEADER_LENGTH if self.schema.is_framed else HEADER_LENGTH

    def length_min(self):
        return (self.header_length() + self.block + GROUP_HEADER_LENGTH * len(self.groups)
                + DATA_HEADER_LENGTH * len(self.data))

    def add_field(self, name, kind, options, enums):
        if kind in DATA_TYPES:
            self.data.append(Data(name, kind, options))
            return
        if self.data or self.groups:
            raise SchemaError("a field after groups or data")
        end = self.fields[-1].end() if self.fields else 0
        field = Field(name, kind, int(options.get("at", end)), options, enums)
        if field.offset < end or field.end() > self.block:
            raise SchemaError("field %s overlaps, or leaves the block" % name)
        self.fields.append(field)


class Schema:
    def __init__(self, number, version, tag, is_framed):
        self.id, self.version, self.tag, self.is_framed = number, version, tag, is_framed


def options_of(words, allowed):
    options = {}
    while words:
        key = words.pop(0)
        if key not in allowed or not words or key in options:
            raise SchemaError("unexpected '%s'" % key)
        options[key] = words.pop(0)
    return options


class Parser:
    def __init__(self):
        self.prefix, self.enums, self.schemas, self.bodies = None, {}, [], []
        self.group = None

    def parse(self, path):
        with open(path, encoding="ascii") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    self.parse_line(line.split("#")[0].rstrip())
                except (SchemaError, ValueError, LookupError, AttributeError) as problem:
                    sys.exit("%s:%d: %s" % (path, number, problem))
        self.check()

    def parse_line(self, line):
        words = line.split()
        if not words:
            return
        if line.startswith(" "):
            self.parse_member(words, len(line) - len(line.lstrip()))
        elif words[0] == "enum":
            self.parse_enum(line)
        else:
            self.group = None
            {"prefix": self.parse_prefix, "schema": self.parse_schema,
             "message": self.parse_message, "record": self.parse_record}[words[0]](words[1:])

    def parse_prefix(self, words):
        self.prefix, = words

    def parse_enum(self, line):
        name, values = re.match(r"enum (\w+): (.*)$", line).groups()
        for item in values.split(","):
            label, value = item.split()
            self.enums.setdefault(name, {})[label] = int(value)

    def parse_schema(self, words):
        is_framed = words[-1] == "framed"
        words = words[:-1] if is_framed else words
        tag = words[3] + "_" if len(words) > 3 else ""
        self.schemas.append(Schema(int(words[0]), int(words[2]), tag, is_framed))

    def parse_message(self, words):
        self.parse_record([word for word in words[1:] if word != "inline"], ("block", "since"))
        body = self.bodies[-1]
        body.template, body.schema = int(words[0]), self.schemas[-1]
        body.is_inline = "inline" in words

    def parse_record(self, words, allowed=("block",)):
        options = options_of([word for word in words[1:] if word != "padded"], allowed)
        self.bodies.append(Body(words[0], int(options["block"])))
        self.bodies[-1].is_padded = "padded" in words

    def parse_member(self, words, depth):
        message = self.bodies[-1]
        if words[0] == "group" and depth == 4:
            self.group = Body(words[1], int(options_of(words[2:], ("block",))["block"]), message)
            message.groups.append(self.group)
            return
        if depth == 4:
            self.group = None
        options = options_of(words[2:], ("at", "since", "absent"))
        (self.group if depth > 4 else message).add_field(words[0], words[1], options, self.enums)

    def check(self):
        names = [body.name for body in self.bodies]
        keys = [body.template for body in self.bodies if body.schema]
        for values in (names, keys):
            twice = {value for value in values if values.count(value) > 1}
            if twice:
                sys.exit("declared twice: %s" % ", ".join(map(str, sorted(twice))))
        for body in self.bodies:
            for part in [body] + body.groups:
                end = part.fields[-1].end() if part.fields else 0
                if end != part.block and not part.is_padded:
                    sys.exit("%s: fields end at %d, the block at %d" % (part.name, end, part.block))
            for group in body.groups:
                if not group.fields or group.fields[0].since > 0:
                    sys.exit("%s: elements without a field of the first version" % group.name)


class Writer:
    def __init__(self, schema_path, parser):
        self.name = re.sub(r".*/", "", schema_path)
        self.parser, self.prefix, self.lines = parser, parser.prefix, []
        self.upper = parser.prefix.upper()

    def add(self, text=""):
        self.lines.append(text)

    def messages(self):
        return [body for body in self.parser.bodies if body.schema]

    def text(self):
        return "\n".join(self.lines) + "\n"

    def banner(self):
        self.add("/* Generated from %s by codegen.py. */" % self.name)


class HeaderWriter(Writer):
    def write(self):
        guard = "TERN_WIRE_%s_CODEC_H" % self.upper
        self.banner()
        for line in ("#ifndef " + guard, "#define " + guard, "", '#include "wire/sbe.h"', ""):
            self.add(line)
        self.write_ids()
        for name, values in self.parser.enums.items():
            self.write_enum(name, values)
        for body in self.parser.bodies:
            self.write_body(body)
        self.write_functions()
        self.add("#endif")
        return self.text()

    def write_ids(self):
        for schema in self.parser.schemas:
            self.add("#define %s_%sSCHEMA_ID %d" % (self.upper, schema.tag, schema.id))
            self.add("#define %s_%sSCHEMA_VERSION %d" % (self.upper, schema.tag, schema.version))
        self.add()
        self.add("enum %s_template {" % self.prefix)
        for body in self.messages():
            self.add("    %s_TEMPLATE_%s = %d," % (self.upper, body.c_name.upper(), body.template))
        self.add("};")
        self.add()

    def write_enum(self, name, values):
        c_name = "%s_%s" % (self.prefix, snake(name))
        self.add("enum %s {" % c_name)
        for label, value in values.items():
            self.add("    %s_%s = %d," % (c_name.upper(), label, value))
        self.add("    %s_NULL = SBE_NULL_I32," % c_name.upper())
        self.add("};")
        self.add("const char *%s_name(int32_t value);" % c_name)
        self.add()

    def write_body(self, body):
        for group in body.groups:
            self.write_body(group)
        c_name = "%s_%s" % (self.prefix, body.full_name())
        if body.parent is None:
            self.write_constants(body, c_name.upper())
        self.add("struct %s {" % c_name)
        for field in body.fields:
            note = " /* enum %s_%s */" % (self.prefix, snake(field.enum)) if field.enum else ""
            self.add("    %s %s;%s" % (C_TYPES[field.type], field.c_name, note))
        for group in body.groups:
            self.add("    struct sbe_group %s; /* of struct %s_%s */"
                     % (group.c_name, c_name, group.c_name))
        for data in body.data:
            self.add("    struct text_slice %s;" % data.c_name)
        if not (body.fields or body.groups or body.data):
            self.add("    uint8_t nothing; /* C has no empty struct */")
        self.add("};")
        self.add()
        if body.parent is not None:
            self.add("bool %s_next(struct sbe_group *group," % c_name)
            self.add("    struct %s *element);" % c_name)
        else:
            self.add("int32_t %s_encode(" % c_name)
            self.add("    const struct %s *message, void *buffer, int32_t capacity);" % c_name)
            self.add("int %s_decode(" % c_name)
            self.add("    struct %s *message, const void *buffer, int32_t length);" % c_name)
        if body.is_inline:
            self.write_inline(body, c_name)
        self.add()

    def write_constants(self, body, upper):
        """Offsets count from the start of the buffer: the header, if there is one, included."""
        self.add("#define %s_BLOCK_LENGTH %d" % (upper, body.block))
        self.add("#define %s_LENGTH_MIN %d" % (upper, body.length_min()))
        for field in body.fields:
            self.add("#define %s_%s_OFFSET %d" % (upper, field.c_name.upper(),
                                                  body.header_length() + field.offset))

    def write_inline(self, body, c_name):
        """Straight stores and loads for whoever has checked the length already."""
        args = ", ".join("%s %s" % (C_TYPES[f.type], f.c_name) for f in body.fields)
        self.add("static inline void %s_put(" % c_name)
        self.add("    void *buffer, %s) {" % args)
        self.add("    uint8_t *bytes = buffer;")
        schema = body.schema
        for at, value in enumerate((body.block, body.template, schema.id, schema.version)):
            self.add("    put_u16(bytes + %d, %d);" % (2 * at, value))
        for field in body.fields:
            self.add("    put_%s(bytes + %d, %s);" % (
                field.type, body.header_length() + field.offset, field.c_name))
        self.add("}")
        for field in body.fields:
            at = body.header_length() + field.offset
            self.add("static inline %s %s_get_%s(const void *buffer) {"
                     % (C_TYPES[field.type], c_name, field.c_name))
            self.add("    return get_%s((const uint8_t *)buffer + %d);" % (field.type, at))
            self.add("}")
            self.add("static inline void %s_set_%s(void *buffer, %s value) {"
                     % (c_name, field.c_name, C_TYPES[field.type]))
            self.add("    put_%s((uint8_t *)buffer + %d, value);" % (field.type, at))
            self.add("}")

    def write_functions(self):
        self.add('/* "?" for an unknown template; see sbe_format for the line. */')
        self.add("const char *%s_template_name(int32_t template_id);" % self.prefix)
        self.add("int %s_message_format(const void *buffer, int32_t length, char *text,"
                 % self.prefix)
        self.add("    int32_t capacity);")
        self.add("/* The tables, for tests and tools that walk over all messages and records. */")
        self.add("extern const struct sbe_layouts %s_messages;" % self.prefix)
        self.add("extern const struct sbe_layouts %s_records;" % self.prefix)
        self.add()


class SourceWriter(Writer):
    def write(self):
        self.banner()
        self.add('#include "wire/%s_codec.h"' % self.prefix)
        self.add()
        self.add("#include <stddef.h>")
        self.add()
        for name, values in self.parser.enums.items():
            self.write_enum(name, values)
        for body in self.parser.bodies:
            for group in body.groups:
                self.write_layout(group)
            self.write_layout(body)
        self.write_lists()
        return self.text()

    def write_enum(self, name, values):
        c_name = snake(name)
        self.add("static const struct sbe_enum_value %s_values[] = {" % c_name)
        for label, value in values.items():
            self.add('    {"%s", %d},' % (label, value))
        self.add("};")
        self.add("static const struct sbe_enum %s_enum = {%s_values, %d};"
                 % (c_name, c_name, len(values)))
        self.add("const char *%s_%s_name(int32_t value) {" % (self.prefix, c_name))
        self.add("    return sbe_enum_name(&%s_enum, value);" % c_name)
        self.add("}")
        self.add()

    def write_layout(self, body):
        name = body.full_name()
        struct = "struct %s_%s" % (self.prefix, name)
        if body.fields:
            self.write_fields(body, name, struct)
        if body.groups:
            self.add("static const struct sbe_layout *const %s_groups[] = {" % name)
            for group in body.groups:
                self.add("    &%s_layout," % group.full_name())
            self.add("};")
        if body.data:
            self.add("static const struct sbe_data %s_data[] = {" % name)
            for data in body.data:
                is_text = "true" if data.is_text else "false"
                self.add('    {"%s", offsetof(%s, %s), %d, %s},' % (
                    data.name, struct, data.c_name, data.since, is_text))
            self.add("};")
        self.write_table(body, name, struct)
        if body.parent is not None:
            self.add("bool %s_%s_next(struct sbe_group *group, %s *element) {"
                     % (self.prefix, name, struct))
            self.add("    return sbe_group_next(&%s_layout, group, element);" % name)
            self.add("}")
        else:
            self.add("int32_t %s_%s_encode(const %s *message, void *buffer, int32_t capacity) {"
                     % (self.prefix, name, struct))
            self.add("    return sbe_encode(&%s_layout, message, buffer, capacity);" % name)
            self.add("}")
            self.add("int %s_%s_decode(%s *message, const void *buffer, int32_t length) {"
                     % (self.prefix, name, struct))
            self.add("    return sbe_decode(&%s_layout, message, buffer, length);" % name)
            self.add("}")
        self.add()

    def write_fields(self, body, name, struct):
        self.add("static const struct sbe_field %s_fields[] = {" % name)
        for field in body.fields:
            values = "&%s_enum" % snake(field.enum) if field.enum else "NULL"
            self.add('    {"%s", %d, offsetof(%s, %s), %d, SBE_%s, %s, %s},' % (
                field.name, field.offset, struct, field.c_name, field.since, field.type.upper(),
                field.absent, values))
        self.add("};")

    def write_table(self, body, name, struct):
        self.add('_Static_assert(sizeof(%s) <= SBE_STRUCT_LENGTH_MAX, "scratch in sbe.c");'
                 % struct)
        self.add("static const struct sbe_layout %s_layout = {" % name)
        self.add('    .name = "%s",' % body.name)
        for member, items in (("field", body.fields), ("group", body.groups), ("data", body.data)):
            if items:
                plural = member if member == "data" else member + "s"
                self.add("    .%s = %s_%s," % (plural, name, plural))
                self.add("    .%s_count = %d," % (member, len(items)))
        self.add("    .header_length = %d," % body.header_length())
        self.add("    .block_length = %d," % body.block)
        if body.schema:
            self.add("    .template_id = %d," % body.template)
            self.add("    .schema_id = %d," % body.schema.id)
        if body.schema:
            self.add("    .version = %d," % body.schema.version)
        elif body.parent is None:
            self.add("    .version = UINT16_MAX,")
        self.add("    .struct_length = sizeof(%s)," % struct)
        if body.parent is not None:
            parent = "struct %s_%s" % (self.prefix, body.parent.full_name())
            self.add("    .member = offsetof(%s, %s)," % (parent, body.c_name))
        self.add("};")

    def write_lists(self):
        records = [body for body in self.parser.bodies if not body.schema]
        for kind, bodies in (("messages", self.messages()), ("records", records)):
            self.add("static const struct sbe_layout *const all_%s[] = {" % kind)
            for body in bodies:
                self.add("    &%s_layout," % body.full_name())
            self.add("};")
            self.add("const struct sbe_layouts %s_%s = {all_%s, %d};"
                     % (self.prefix, kind, kind, len(bodies)))
        self.add()
        self.add("const char *%s_template_name(int32_t template_id) {" % self.prefix)
        self.add("    return sbe_template_name(&%s_messages, template_id);" % self.prefix)
        self.add("}")
        self.add("int %s_message_format(const void *buffer, int32_t length, char *text,"
                 % self.prefix)
        self.add("    int32_t capacity) {")
        self.add("    return sbe_format(&%s_messages, buffer, length, text, capacity);"
                 % self.prefix)
        self.add("}")


def main(schema_path, header_path, source_path):
    parser = Parser()
    parser.parse(schema_path)
    for path, writer in ((header_path, HeaderWriter), (source_path, SourceWriter)):
        with open(path, "w", encoding="ascii") as out:
            out.write(writer(schema_path, parser).write())


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: codegen.py SCHEMA HEADER SOURCE")
    main(*sys.argv[1:])
