(function_definition name: (word) @name) @function
(command_name (word) @reference)
