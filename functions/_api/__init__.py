"""What all HTTP functions share. A trigger declares an operation and handles calls of it, no more::

    _GET = Operation(
        "ReviewGrants_Get",
        "GET",
        "tenants/{tenantId}/review-grants/{grantId}",
        "Show one grant.",
        tag="Review",
        who=(Who.REVIEWER, Who.APPROVER),
        parameters=(GRANT_ID,),
        answers={200: Answer("The grant.", GrantAnswer(grant_id="0" * 32, ...))},
        problems=(NotFound,),
    )

    @serves(blueprint, _GET)
    async def review_grant(call: Call) -> func.HttpResponse:
        grant = await services().access.grant(call.tenant_id, call.value(GRANT_ID))
        return json_answer(GrantAnswer.of(grant).to_json())

The handler's name is the function's name on Azure. By the time it runs, the caller is one of ``who``. What it reads of
the request are the parameters and the body that the document shows, so what is taken and what is documented is one.
"""
