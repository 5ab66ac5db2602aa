package contract_test

const (
	dynamoOperators   = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.OperatorsAndFunctions.html"
	dynamoConstraints = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"
	dynamoCondition   = "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Condition.html"
)

var dynamodbDifferences = []difference{
	{
		server: "dynalite",
		says:   "a failed condition of PutItem gives the item when asked",
		does:   "it does not know ReturnValuesOnConditionCheckFailure",
		shows:  "item in the error: got M{}, want M{",
		docs:   "An optional parameter that returns the item attributes for a PutItem operation that failed a condition check.",
		url:    "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html",
	},
	{
		server: "dynalite",
		says:   "a failed condition of UpdateItem gives the item when asked",
		does:   "it does not know ReturnValuesOnConditionCheckFailure",
		shows:  "item in the error: got M{}, want M{",
		docs:   "An optional parameter that returns the item attributes for an UpdateItem operation that failed a condition check.",
		url:    "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_UpdateItem.html",
	},
	{
		server: "dynalite",
		says:   "a failed condition of DeleteItem gives the item when asked",
		does:   "it does not know ReturnValuesOnConditionCheckFailure",
		shows:  "item in the error: got M{}, want M{",
		docs:   "An optional parameter that returns the item attributes for a DeleteItem operation that failed a condition check.",
		url:    "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteItem.html",
	},
	{
		server: "dynalite",
		says:   "DeleteItem does not return a new item",
		does:   "it takes ALL_NEW for NONE",
		shows:  "delete item: got <nil>, want ValidationException",
		docs:   "DeleteItem does not recognize any values other than NONE or ALL_OLD.",
		url:    "https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_DeleteItem.html",
	},
	{
		server: "dynalite",
		says:   "there is no item with 33 levels",
		does:   "it nests without a limit",
		shows:  "put item: got <nil>, want ValidationException",
		docs:   "DynamoDB supports nested attributes up to 32 levels deep.",
		url:    dynamoConstraints,
	},
	{
		server: "dynalite",
		says:   "there is no expression with an expression over 4 KB",
		does:   "it takes expressions of any length",
		shows:  "update item: got <nil>, want ValidationException",
		docs:   "The maximum length of any expression string is 4 KB.",
		url:    dynamoConstraints,
	},
	{
		server: "dynalite",
		says:   "there is no expression with a sum of 39 digits",
		does:   "it checks the digits of what a client sends, not those of a sum",
		shows:  "99999999999999999999999999999999999990.25",
		docs:   "Numbers can have up to 38 digits of precision. Exceeding this results in an exception.",
		url:    "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html",
	},
	{
		server: "dynalite",
		says:   "there is no expression with an ordering of truths",
		does:   "it compares, and the condition fails",
		shows:  "ConditionalCheckFailedException: The conditional request failed, want ValidationException",
		docs:   "LT: AttributeValueList can contain only one AttributeValue of type String, Number, or Binary (not a set type).",
		url:    dynamoCondition,
	},
	{
		server: "dynalite",
		says:   "there is no expression with an ordering of sets",
		does:   "it compares, and the condition fails",
		shows:  "ConditionalCheckFailedException: The conditional request failed, want ValidationException",
		docs:   "LT: AttributeValueList can contain only one AttributeValue of type String, Number, or Binary (not a set type).",
		url:    dynamoCondition,
	},
	{
		server: "dynalite",
		says:   "NOT NOT AssignedTo = :w1 holds",
		does:   "its grammar wants a parenthesis behind the second NOT",
		shows:  "Syntax error",
		docs:   "condition-expression ::= … | condition AND condition | condition OR condition | NOT condition | ( condition )",
		url:    dynamoOperators,
	},
	{
		server: "dynalite",
		says:   "elems = :list holds",
		does:   "a list equals nothing",
		shows:  "ConditionalCheckFailedException",
		docs:   "EQ is supported for all data types, including lists and maps.",
		url:    dynamoCondition,
	},
	{
		server: "dynalite",
		says:   "m = :map holds",
		does:   "a map equals nothing",
		shows:  "ConditionalCheckFailedException",
		docs:   "EQ is supported for all data types, including lists and maps.",
		url:    dynamoCondition,
	},
}
